/* rt_wasm.c - what clang calls for arithmetic that wasm has no instruction for: Debian's clang comes without
 * its runtime library for wasm. 64-bit products with overflow checks and the sampler's 96-bit ones become
 * 128-bit multiplications. */
#include <stdint.h>

__extension__ typedef __int128 i128;
__extension__ typedef unsigned __int128 u128;
i128 __multi3(i128 a, i128 b);

/* 32 by 32 bits at a time, so that nothing here needs a 128-bit product itself. */
i128 __multi3(i128 a, i128 b)
{
    uint64_t al = (uint64_t)a, ah = (uint64_t)((u128)a >> 64), bl = (uint64_t)b,
             bh = (uint64_t)((u128)b >> 64);
    uint64_t a0 = (uint32_t)al, a1 = al >> 32, b0 = (uint32_t)bl, b1 = bl >> 32;
    uint64_t p00 = a0 * b0, p01 = a0 * b1, p10 = a1 * b0, p11 = a1 * b1;
    uint64_t middle = (p00 >> 32) + (uint32_t)p01 + (uint32_t)p10;
    uint64_t low = middle << 32 | (uint32_t)p00,
             high = p11 + (p01 >> 32) + (p10 >> 32) + (middle >> 32) + al * bh + ah * bl;
    return (i128)((u128)high << 64 | low);
}

/* assert's last act is a trap, which JavaScript reports with its stack; wasi-libc's would pull in stdio. */
_Noreturn void __assert_fail(const char *what, const char *file, int line, const char *function);
_Noreturn void __assert_fail(const char *what, const char *file, int line, const char *function)
{
    (void)what; (void)file; (void)line; (void)function;
    __builtin_trap();
}
