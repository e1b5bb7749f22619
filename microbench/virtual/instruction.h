/* Instructions taken apart once, so that running them again costs no decoding (guide section 3, figures 3 to 7). */
#ifndef V3D_INSTRUCTION_H
#define V3D_INSTRUCTION_H

#include <stdint.h>

#include "vector.h"

enum kind { KIND_ALU, KIND_IMMEDIATE, KIND_SEMAPHORE, KIND_BRANCH };

enum signal {
    SIGNAL_BREAKPOINT = 0, SIGNAL_NONE = 1, SIGNAL_THREAD_END = 3, SIGNAL_LDTMU0 = 10, SIGNAL_LDTMU1 = 11,
    SIGNAL_SMALL = 13, SIGNAL_IMMEDIATE = 14, SIGNAL_BRANCH = 15
};

/* Addresses 32 to 63 of the register files (table 14). */
enum { RELAY_A = 1, RELAY_B = 2 };

enum read_address {
    READ_UNIFORM = 32, READ_ELEMENT = 38, READ_NOP = 39, READ_VPM = 48, READ_BUSY = 49, READ_WAIT = 50, READ_MUTEX = 51
};
enum write_address {
    WRITE_ACC0 = 32, WRITE_ACC3 = 35, WRITE_NOSWAP = 36, WRITE_ACC5 = 37, WRITE_HOST = 38, WRITE_NOP = 39,
    WRITE_UNIFORMS = 40, WRITE_VPM = 48, WRITE_SETUP = 49, WRITE_DMA = 50, WRITE_MUTEX = 51, WRITE_SFU = 52,
    WRITE_TMU0 = 56, WRITE_TMU1 = 60
};

/* Why an instruction leaves the straight path of qpu.c. */
enum trait {
    TRAIT_UNIFORM = 1 << 0,   /* reads a uniform */
    TRAIT_SHARED = 1 << 1,    /* touches what other QPUs share */
    TRAIT_INPUT = 1 << 2,     /* reads a register-mapped input */
    TRAIT_OUTPUT = 1 << 3,    /* writes a register-mapped output */
    TRAIT_UNPACK = 1 << 4,
    TRAIT_PACK = 1 << 5,
    TRAIT_FLAGS = 1 << 6,
    TRAIT_SIGNAL = 1 << 7,    /* TMU load or thread end */
    TRAIT_ROTATE = 1 << 8,
    TRAIT_ERROR = 1 << 9,     /* `error` is what to stop with */
    TRAIT_CONDITION = 1 << 10,
    TRAIT_MARK = 1 << 11,
    TRAIT_R5 = 1 << 12,
    TRAIT_OTHER = 1 << 13,    /* not an ALU instruction */
    TRAIT_TOLERATED = 1 << 14, /* breaks a rule by itself, on a GPU that is not strict */
    TRAIT_IDLE_WRITE = 1 << 15, /* the add ALU has somewhere to write, and nothing to do */
    TRAIT_SAME = 1 << 16      /* both ALUs write one accumulator */
};

/* Those that change what the ALUs' results are or where they go. */
enum { TRAITS_OF_RESULTS = TRAIT_PACK | TRAIT_FLAGS | TRAIT_ROTATE | TRAIT_CONDITION | TRAIT_R5 | TRAIT_SAME };

/* What must not meet within so many instructions: made by one, used by a later one. */
enum hazard {
    NEXT_ACC0 = 1 << 0,          /* four bits: accumulator written; rotated */
    NEXT_R5 = 1 << 4,            /* r5 written; rotation by r5 */
    NEXT_TWO_SFU = 1 << 8,       /* SFU request; r4 touched */
    NEXT_TWO_UNIFORMS = 1 << 9,  /* uniforms' address written; uniform read */
    NEXT_TWO_BRANCH = 1 << 10,
    NEXT_TWO_NOSWAP = 1 << 11,   /* TMU_NOSWAP written; TMU request */
    NEXT_ACCUMULATORS = 0xf,
    NEXT_TWO_MASK = 0xf00
};

/* The first cache line is what running an instruction on the straight path reads. */
typedef struct instruction {
    uint32_t traits;
    uint8_t kind, signal;
    uint8_t op_add, op_mul;
    uint8_t add_a, add_b, mul_a, mul_b; /* indices of qpu.r */
    uint8_t to_add, to_mul;             /* indices of qpu.r */
    uint8_t cond_add, cond_mul;
    uint64_t reads, writes;             /* of the register files: file A low half, file B high half */
    uint16_t uses, makes;               /* enum hazard */
    uint8_t out_add, out_mul;           /* write addresses of outputs, 0 none */
    uint8_t read_a, read_b;             /* read addresses of inputs, 0 none */
    uint64_t executions;                /* in this launch */
    uint8_t by_b_add, by_b_mul;         /* written through port B */
    uint8_t rotate, rotate_full;        /* lanes, 16 for r5 */
    uint8_t flags_from_mul;
    uint8_t pack_add, pack_mul, pack_colour; /* register file A pack of either result, or mul colour pack */
    uint8_t unpack, unpack_from, unpack_float;
    uint8_t end_rules;                  /* enum end_rule: what it must not do near the thread end */
    /* -- */
    uint8_t relays;                     /* ports whose last value is an operand again */
    uint8_t set_flags;
    uint8_t branch_condition, branch_relative, branch_register, raddr_a;
    uint8_t semaphore, semaphore_up;
    uint32_t immediate;
    int error_status;
    const char *error;                  /* rule that it breaks by itself */
    uint64_t word;
    uint64_t *stall;                    /* cycles by cause, where they are observed and there were any */
} __attribute__((aligned(64))) instruction;

enum end_rule { END_WRITES_FILE = 1, END_UNIFORM = 2, END_VPM = 4, END_R14 = 8 };

#endif
