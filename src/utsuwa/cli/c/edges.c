/* The first and, compiled with LAST, the last object that is linked: between them lies what the image holds. */
#ifdef LAST
#define NAME(kind) kind##_end
#else
#define NAME(kind) kind##_begin
#endif

char NAME(data)[4096] __attribute__((aligned(4096))) = {1};
char NAME(bss)[4096] __attribute__((aligned(4096)));
