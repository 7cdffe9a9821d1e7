/* Loads a network from flash, runs it on the accelerator, and says what it found.
 *
 * codeword_registers.h comes with the Verilog of the accelerator, image.h with the memory image.
 */
#include <stdint.h>
#include "codeword_registers.h"
#include "image.h"

#define REGISTERS ((volatile uint32_t *)0x10000000u)
#define CONSOLE (*(volatile uint32_t *)0x20000000u)
#define END (*(volatile uint32_t *)0x20000004u)
#define FLASH ((const volatile uint32_t *)0x40000000u)
#define MEMORY ((volatile uint32_t *)IMAGE_BASE)

static void print(const char *text)
{
    while (*text)
        CONSOLE = (uint8_t)*text++;
}

static void print_number(uint32_t value)
{
    char digits[11];
    int n = 10;

    digits[n] = 0;
    do
        digits[--n] = '0' + value % 10;
    while (value /= 10);
    print(digits + n);
}

/* Sleeps until an interrupt of the processor is pending: instruction waitirq of the PicoRV32. */
static void wait_for_interrupt(void)
{
    uint32_t pending;

    __asm__ volatile(".insn r 0x0b, 0, 4, %0, x0, x0" : "=r"(pending));
}

static int32_t output(uint32_t pixel, uint32_t channel)
{
    const volatile uint8_t *base = (const volatile uint8_t *)(IMAGE_BASE + IMAGE_OUTPUT + pixel * IMAGE_PIXEL_BYTES);

    if (IMAGE_VALUE_BYTES == 4)
        return ((const volatile int32_t *)base)[channel];
    return ((const volatile int8_t *)base)[channel];
}

/* CRC-32 (IEEE 802.3) of the values of all pixels, as little-endian bytes. */
static uint32_t checksum(void)
{
    uint32_t crc = ~0u, pixel, channel, byte, bit;

    for (pixel = 0; pixel < IMAGE_PIXELS; pixel++)
        for (channel = 0; channel < IMAGE_CHANNELS; channel++) {
            uint32_t value = (uint32_t)output(pixel, channel);
            for (byte = 0; byte < IMAGE_VALUE_BYTES; byte++, value >>= 8) {
                crc ^= value & 0xff;
                for (bit = 0; bit < 8; bit++)
                    crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
            }
        }
    return ~crc;
}

static int run(void)
{
    const struct codeword_run image = IMAGE_RUN;
    uint32_t n, best = 0;

    for (n = 0; n < 2 * IMAGE_WORDS; n++)
        MEMORY[n] = FLASH[n];
    if (!codeword_start(REGISTERS, &image))
        return 1;
    wait_for_interrupt();
    if (codeword_status(REGISTERS) & (CODEWORD_STATUS_ERROR | CODEWORD_STATUS_BUSY))
        return 2;

    for (n = 1; n < IMAGE_CHANNELS; n++)
        if (output(0, n) > output(0, best))
            best = n;
    print("class ");
    print_number(best);
    print("\ncounter: ");
    print_number((uint32_t)codeword_counter(REGISTERS, CODEWORD_COUNT_CYCLES_LO));
    print(" cycles, model: ");
    print_number(IMAGE_CYCLES);
    print("\n");
    if (checksum() != IMAGE_CHECKSUM)
        return 3;
    if (codeword_counter(REGISTERS, CODEWORD_COUNT_CYCLES_LO) != IMAGE_CYCLES)
        return 4;
    print("PASS\n");
    return 0;
}

void main(void)
{
    END = run();
    for (;;)
        ;
}

/* At address 0, where the processor begins; its stack pointer is set. */
__attribute__((naked, section(".start"))) void start(void)
{
    __asm__ volatile("j main");
}
