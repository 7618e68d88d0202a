/* Memory and text functions; the compiler emits calls to the mem* ones on its own. */
#include "syscall.h"

size_t length(const char *text)
{
	size_t count = 0;
	while (text[count])
		count++;
	return count;
}

int same(const char *one, const char *other)
{
	while (*one && *one == *other)
		one++, other++;
	return *one == *other;
}

int starts(const char *text, const char *prefix)
{
	while (*prefix && *text == *prefix)
		text++, prefix++;
	return !*prefix;
}

void *memcpy(void *to, const void *from, size_t size)
{
#if defined(__x86_64__)
	void *at = to;
	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
#else
	for (size_t i = 0; i < size; i++)
		((u8 *)to)[i] = ((const u8 *)from)[i];
#endif
	return to;
}

void *memset(void *to, int byte, size_t size)
{
#if defined(__x86_64__)
	void *at = to;
	__asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(byte) : "memory");
#else
	for (size_t i = 0; i < size; i++)
		((u8 *)to)[i] = (u8)byte;
#endif
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	u8 *target = to;
	const u8 *source = from;
	if (target <= source)
		return memcpy(to, from, size);
	while (size--)
		target[size] = source[size];
	return to;
}

int memcmp(const void *one, const void *other, size_t size)
{
	const u8 *a = one, *b = other;
	for (size_t i = 0; i < size; i++)
		if (a[i] != b[i])
			return a[i] - b[i];
	return 0;
}
