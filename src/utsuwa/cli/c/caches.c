/*
 * How large the processor's caches are, in place of glibc's own function (tools/program.py puts a jump to here into it).
 *
 * When a static program begins, glibc asks the processor twelve times, by 48 `cpuid` instructions. In a virtual machine each of
 * these is a way out and back, up to 5 us: a tenth of a millisecond in every start. What is said decides only from which
 * size on memory is copied past the caches.
 */
#include <unistd.h>

long usual_cache(int name);
long usual_cache(int name)
{
	switch (name) {
	case _SC_LEVEL1_ICACHE_SIZE:
	case _SC_LEVEL1_DCACHE_SIZE:
		return 32 << 10;
	case _SC_LEVEL2_CACHE_SIZE:
		return 1 << 20;
	case _SC_LEVEL3_CACHE_SIZE: /* the part of one thread */
		return 2 << 20;
	case _SC_LEVEL1_ICACHE_LINESIZE:
	case _SC_LEVEL1_DCACHE_LINESIZE:
	case _SC_LEVEL2_CACHE_LINESIZE:
	case _SC_LEVEL3_CACHE_LINESIZE:
		return 64;
	case _SC_LEVEL1_DCACHE_ASSOC:
	case _SC_LEVEL2_CACHE_ASSOC:
	case _SC_LEVEL3_CACHE_ASSOC:
		return 8;
	}
	return 0;
}
