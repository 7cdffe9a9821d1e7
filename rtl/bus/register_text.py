"""The registers as text: a page of documentation, and a C header with functions that run the accelerator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rtl.bus.register_map import ACCESSES, ERRORS, SYSTOLIC, Face, Register


def markdown(registers: Sequence[Register]) -> str:
    """The map as a page of documentation."""
    lines = [
        "# Registers",
        "",
        "AXI4-Lite, 32 bits. An address without a register answers SLVERR. Writes respect their "
        "strobes; what is read only ignores them.",
        "",
        "| offset | register | bits | field | access | reset | |",
        "|---|---|---|---|---|---|---|",
    ]
    for register in registers:
        for n, field in enumerate(register.fields):
            high = field.low + field.width - 1
            bits = f"{high}:{field.low}" if field.width > 1 else f"{field.low}"
            place = f"0x{register.offset:03x} | {register.name}" if n == 0 else " | "
            lines.append(
                f"| {place} | {bits} | {'' if register.whole else field.name} | "
                f"{ACCESSES[field.access]} | 0x{field.reset:x} | {field.description} |"
            )
    return "\n".join(lines) + "\n"


def header(registers: Sequence[Register], face: Face = SYSTOLIC) -> str:
    """The map as a C header, with functions that run the accelerator."""
    lines = [*_HEADER_START, *_defines(registers, face.ports), *_run_struct(face), *_HEADER_FUNCTIONS]
    for name in face.windows:
        upper = name.upper()
        lines += [
            f"    codeword_write_wide(registers, CODEWORD_{upper}_BASE_LO, run->{name}_base);",
            f"    codeword_write_wide(registers, CODEWORD_{upper}_SIZE_LO, run->{name}_size);",
        ]
    for name in face.streams:
        upper = name.upper()
        lines += [
            f"    codeword_write(registers, CODEWORD_{upper}_BASE, run->{name}_base);",
            f"    codeword_write(registers, CODEWORD_{upper}_COUNT, run->{name}_count);",
        ]
    return "\n".join([*lines, *_HEADER_END]) + "\n"


def _defines(registers: Sequence[Register], ports: Sequence[str]) -> Iterator[str]:
    for register in registers:
        prefix = f"CODEWORD_{register.name.upper()}"
        yield f"#define {prefix} 0x{register.offset:03x}u /* {register.description} */"
        if register.whole:
            if register.fields[0].access == "constant":
                yield f"#define {prefix}_VALUE 0x{register.reset:08x}u"
            continue
        for field in register.fields:
            name = f"{prefix}_{field.name.upper()}"
            yield f"#define {name}_SHIFT {field.low}"
            yield f"#define {name} 0x{field.mask:08x}u /* {field.description} */"
    yield ""
    yield from (f"#define CODEWORD_PORT_{name.upper()} {n}" for n, name in enumerate(ports))
    yield from (f"#define CODEWORD_ERROR_{name.upper()} {n}" for n, name in enumerate(ERRORS))


def _run_struct(face: Face) -> list[str]:
    return [
        "",
        "/* Layers; windows in bytes; bytes from the base of the commands and 64-bit words of the packet streams. */",
        "struct codeword_run {",
        "    uint32_t layers;",
        *(f"    uint64_t {name}_base, {name}_size;" for name in face.windows),
        *(f"    uint32_t {name}_base, {name}_count;" for name in face.streams),
        "};",
    ]


_HEADER_START = """\
/* Registers of the accelerator. Generated; do not edit.
 *
 *     struct codeword_run run = {.layers = ..., .commands_base = ..., .commands_size = ...,
 *                                .jobs_base = ..., .jobs_count = ..., ...};
 *     if (!codeword_start(registers, &run))
 *         ...                                  another accelerator, or busy
 *     while (codeword_status(registers) & CODEWORD_STATUS_BUSY)
 *         ;                                    or wait for the interrupt
 *     if (codeword_status(registers) & CODEWORD_STATUS_ERROR)
 *         ...                                  why: codeword_error; the next start clears it
 */
#ifndef CODEWORD_REGISTERS_H
#define CODEWORD_REGISTERS_H

#include <stdint.h>
""".splitlines()

_HEADER_FUNCTIONS = """
static inline uint32_t codeword_read(volatile uint32_t *registers, uint32_t offset)
{
    return registers[offset / 4];
}

static inline void codeword_write(volatile uint32_t *registers, uint32_t offset, uint32_t value)
{
    registers[offset / 4] = value;
}

static inline uint32_t codeword_status(volatile uint32_t *registers)
{
    return codeword_read(registers, CODEWORD_STATUS);
}

/* One of CODEWORD_ERROR_... */
static inline uint32_t codeword_error(volatile uint32_t *registers)
{
    return (codeword_status(registers) & CODEWORD_STATUS_ERROR_CODE) >> CODEWORD_STATUS_ERROR_CODE_SHIFT;
}

/* An address or a size, by the offset of its lower half. */
static inline void codeword_write_wide(volatile uint32_t *registers, uint32_t lo, uint64_t value)
{
    codeword_write(registers, lo, (uint32_t)value);
    codeword_write(registers, lo + 4, (uint32_t)(value >> 32));
}

/* A counter, by the offset of its lower half. */
static inline uint64_t codeword_counter(volatile uint32_t *registers, uint32_t lo)
{
    uint32_t low = codeword_read(registers, lo);
    return (uint64_t)codeword_read(registers, lo + 4) << 32 | low;
}

/* Ends a run, or forgets one that failed. */
static inline void codeword_clear(volatile uint32_t *registers)
{
    codeword_write(registers, CODEWORD_CONTROL, CODEWORD_CONTROL_CLEAR);
    while (codeword_status(registers) & CODEWORD_STATUS_BUSY)
        ;
}

/* Starts a run, interrupt enabled; 0 if it cannot. */
static inline int codeword_start(volatile uint32_t *registers, const struct codeword_run *run)
{
    if (codeword_read(registers, CODEWORD_ID) != CODEWORD_ID_VALUE ||
        codeword_read(registers, CODEWORD_VERSION) >> 16 != CODEWORD_VERSION_VALUE >> 16 ||
        codeword_status(registers) & CODEWORD_STATUS_BUSY)
        return 0;
    codeword_write(registers, CODEWORD_LAYER_COUNT, run->layers);""".splitlines()

_HEADER_END = """\
    codeword_write(registers, CODEWORD_CONTROL,
                   CODEWORD_CONTROL_START | CODEWORD_CONTROL_INTERRUPT_ENABLE);
    return 1;
}

#endif""".splitlines()
