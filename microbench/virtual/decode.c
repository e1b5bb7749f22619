/* Decoding, and the rules that one instruction can break alone (guide p.26 to 37; errata). */
#include <string.h>

#include "instruction.h"
#include "internal.h"

static uint32_t bits(uint64_t word, int high, int low)
{
    return (uint32_t)(word >> low & ((UINT64_C(1) << (high - low + 1)) - 1));
}

static void refuse(instruction *d, int status, const char *rule)
{
    if (d->error == NULL) {
        d->error = rule;
        d->error_status = status;
        d->traits |= TRAIT_ERROR;
    }
}

static void forbid(instruction *d, int strict, const char *rule)
{
    if (strict)
        refuse(d, V3D_HAZARD, rule);
    else
        d->traits |= TRAIT_TOLERATED;
}

/* ---- reads ---- */

static uint8_t operand(const instruction *d, uint32_t mux, uint32_t raddr_a, uint32_t raddr_b)
{
    if (mux < 6)
        return (uint8_t)(R_ACC + mux);
    if (mux == 6) {
        if (raddr_a < 32)
            return (uint8_t)(R_FILE_A + raddr_a);
        return raddr_a == READ_ELEMENT ? R_ELEMENT : R_IN_A;
    }
    if (d->signal == SIGNAL_SMALL)
        return (uint8_t)(R_SMALL + raddr_b);
    if (raddr_b < 32)
        return (uint8_t)(R_FILE_B + raddr_b);
    return raddr_b == READ_ELEMENT ? R_QPU : R_IN_B;
}

static void note_read(instruction *d, uint32_t mux, uint32_t raddr_a, uint32_t raddr_b, int heeded)
{
    if (mux == 4)
        d->uses |= NEXT_TWO_SFU;
    if (mux == 6 && raddr_a < 32)
        d->reads |= UINT64_C(1) << raddr_a;
    if (mux == 7 && raddr_b < 32 && d->signal != SIGNAL_SMALL)
        d->reads |= UINT64_C(1) << (32 + raddr_b);
    if (heeded && mux == 6 && raddr_a == READ_NOP)
        d->relays |= RELAY_A;
    if (heeded && mux == 7 && raddr_b == READ_NOP && d->signal != SIGNAL_SMALL)
        d->relays |= RELAY_B;
}

/* Inputs are read whether or not an operand uses the port. */
static void decode_input(instruction *d, uint32_t address, uint8_t *input)
{
    if (address < 32 || address == READ_ELEMENT || address == READ_NOP)
        return;
    *input = (uint8_t)address;
    d->traits |= TRAIT_INPUT;
    switch (address) {
    case READ_UNIFORM:
        d->traits |= TRAIT_UNIFORM;
        d->uses |= NEXT_TWO_UNIFORMS;
        d->end_rules |= END_UNIFORM;
        break;
    case READ_VPM:
    case READ_BUSY:
    case READ_WAIT:
        d->traits |= TRAIT_SHARED;
        d->end_rules |= END_VPM;
        break;
    case READ_MUTEX:
        d->traits |= TRAIT_SHARED;
        break;
    default:
        refuse(d, V3D_UNSUPPORTED, "unsupported: read of a 3D pipeline or unknown input");
    }
}

/* ---- writes ---- */

static void check_conditional(instruction *d, uint32_t condition, int strict)
{
    if (condition != 1)
        forbid(d, strict, "conditional peripheral write: it fires whether or not the condition holds");
}

static void decode_output(instruction *d, uint32_t address, uint32_t condition, int strict, uint8_t *output)
{
    *output = (uint8_t)address;
    d->traits |= TRAIT_OUTPUT;
    if (address != WRITE_HOST)
        check_conditional(d, condition, strict);
    switch (address) {
    case WRITE_NOSWAP:
        d->makes |= NEXT_TWO_NOSWAP;
        break;
    case WRITE_HOST:
        break;
    case WRITE_UNIFORMS:
        d->makes |= NEXT_TWO_UNIFORMS;
        d->traits |= TRAIT_SHARED;
        break;
    case WRITE_VPM:
    case WRITE_SETUP:
    case WRITE_DMA:
        d->traits |= TRAIT_SHARED;
        d->end_rules |= END_VPM;
        break;
    case WRITE_MUTEX:
        d->traits |= TRAIT_SHARED;
        break;
    case WRITE_SFU:
    case WRITE_SFU + 1:
    case WRITE_SFU + 2:
    case WRITE_SFU + 3:
        d->makes |= NEXT_TWO_SFU;
        d->uses |= NEXT_TWO_SFU;
        d->traits |= TRAIT_SHARED;
        break;
    case WRITE_TMU0:
    case WRITE_TMU1:
        d->uses |= NEXT_TWO_NOSWAP;
        d->traits |= TRAIT_SHARED;
        break;
    default:
        refuse(d, V3D_UNSUPPORTED, "unsupported: write of a texture coordinate, tile buffer or unknown register");
    }
}

typedef struct {
    uint32_t address, condition;
    int file_b; /* written through port B */
    uint8_t *to, *out, *by_b;
} destination;

static void decode_write(instruction *d, destination w, int strict)
{
    *w.to = R_SINK;
    *w.by_b = (uint8_t)w.file_b;
    if (w.address == WRITE_NOP)
        return;
    if (w.address < 32) {
        if (w.condition == 0)
            return;
        *w.to = (uint8_t)((w.file_b ? R_FILE_B : R_FILE_A) + w.address);
        d->writes |= UINT64_C(1) << (w.address + (w.file_b ? 32 : 0));
        d->end_rules |= END_WRITES_FILE;
    } else if (w.address <= WRITE_ACC3) {
        if (w.condition == 0)
            return;
        *w.to = (uint8_t)(R_ACC + w.address - 32);
        d->makes |= (uint32_t)NEXT_ACC0 << (w.address - 32);
    } else if (w.address == WRITE_ACC5) {
        if (w.condition == 0)
            return;
        *w.to = R_ACC + 5;
        d->makes |= NEXT_R5;
        d->traits |= TRAIT_R5;
    } else {
        decode_output(d, w.address, w.condition, strict, w.out);
    }
}

/* Silicon lets both ALUs write an accumulator where no lane gets two values: Broadcom's own programs do it under
 * opposite conditions. Anything else that both write gets what no source tells. */
static void decode_same(instruction *d, uint32_t address, int strict)
{
    int opposite = d->cond_add >= 2 && (d->cond_add ^ d->cond_mul) == 1;
    if (address < WRITE_ACC0 || address == WRITE_NOP || d->cond_add == 0 || d->cond_mul == 0)
        return;
    if (address > WRITE_ACC3)
        forbid(d, strict, "both ALUs write the same peripheral, or r5");
    else if (!opposite)
        d->traits |= TRAIT_SAME;
}

static void decode_writes(instruction *d, uint64_t word, int strict)
{
    uint32_t swap = bits(word, 44, 44), to_add = bits(word, 43, 38), to_mul = bits(word, 37, 32);
    destination add = {to_add, d->cond_add, (int)swap, &d->to_add, &d->out_add, &d->by_b_add};
    destination mul = {to_mul, d->cond_mul, !swap, &d->to_mul, &d->out_mul, &d->by_b_mul};
    decode_write(d, add, strict);
    decode_write(d, mul, strict);
    if (to_add == to_mul)
        decode_same(d, to_add, strict);
    if (d->out_add)
        d->to_add = R_OUT_ADD;
    if (d->out_mul)
        d->to_mul = R_OUT_MUL;
}

/* The word of an instruction whose add ALU has nothing to do: silicon writes nothing then, whatever the fields say
 * (py-videocore's nop() names r0, unconditionally). The mul ALU is another matter: it writes what it computed last
 * (errata, "Secret access to previous MUL ALU result"). */
static uint64_t idle_add(instruction *d, uint64_t word)
{
    const uint64_t field = UINT64_C(63) << 38;
    if (d->cond_add != 0 && bits(word, 43, 38) != WRITE_NOP)
        d->traits |= TRAIT_IDLE_WRITE;
    return (word & ~field) | (uint64_t)WRITE_NOP << 38;
}

/* ---- packing ---- */

/* The pack unit sits at the write port of register file A, or behind the mul ALU (pm). */
static void decode_pack(instruction *d, uint64_t word)
{
    uint32_t pack = bits(word, 55, 52), pm = bits(word, 56, 56), swap = bits(word, 44, 44);
    if (pack == 0)
        return;
    if (pm) {
        if (pack < 3 || pack > 7)
            refuse(d, V3D_UNSUPPORTED, "reserved pack mode of the mul ALU");
        else if (d->out_mul && pack != 3)
            refuse(d, V3D_HAZARD, "mul ALU pack of one byte into a peripheral");
        d->pack_colour = (uint8_t)pack;
        d->traits |= TRAIT_PACK;
        return;
    }
    uint8_t to = swap ? d->to_mul : d->to_add;
    if (to < R_FILE_A || to >= R_FILE_B)
        return; /* nothing goes through the unit */
    *(swap ? &d->pack_mul : &d->pack_add) = (uint8_t)pack;
    d->traits |= TRAIT_PACK;
}

static void replace_operand(instruction *d, uint8_t from)
{
    uint8_t *operands[] = {&d->add_a, &d->add_b, &d->mul_a, &d->mul_b};
    for (int i = 0; i < 4; i++)
        if (*operands[i] == from)
            *operands[i] = R_UNPACKED;
}

static int reads_as_float(const instruction *d, uint8_t from)
{
    int add = d->op_add && (d->add_a == from || d->add_b == from) && alu_add_is_float(d->op_add);
    int mul = d->op_mul == MUL_FMUL && (d->mul_a == from || d->mul_b == from);
    return add || mul;
}

static void decode_unpack(instruction *d, uint64_t word, uint32_t raddr_a)
{
    uint32_t mode = bits(word, 59, 57), pm = bits(word, 56, 56);
    uint8_t from = pm ? R_ACC + 4 : (uint8_t)(R_FILE_A + raddr_a);
    if (mode == 0)
        return;
    if (!pm && raddr_a >= 32) {
        if (raddr_a != READ_NOP)
            refuse(d, V3D_UNSUPPORTED, "unsupported: unpack of a register-mapped input");
        return;
    }
    d->unpack = (uint8_t)mode;
    d->unpack_from = from;
    d->unpack_float = (uint8_t)(pm || reads_as_float(d, from));
    d->traits |= TRAIT_UNPACK;
    replace_operand(d, from);
}

/* ---- rules of one instruction ---- */

static int is_peripheral(uint8_t output)
{
    return output >= WRITE_SFU; /* TMU and SFU; the VPM, uniforms and the mutex's release go by their own rules */
}

static void check_peripherals(instruction *d, int strict)
{
    int loads_tmu = d->signal == SIGNAL_LDTMU0 || d->signal == SIGNAL_LDTMU1;
    int count = is_peripheral(d->out_add) + is_peripheral(d->out_mul) + loads_tmu + (d->kind == KIND_SEMAPHORE) +
                (d->read_a == READ_MUTEX || d->read_b == READ_MUTEX);
    if (count > 1)
        forbid(d, strict, "two peripheral accesses in one instruction");
    int writes = (d->out_add >= WRITE_VPM && d->out_add <= WRITE_DMA) + (d->out_mul >= WRITE_VPM && d->out_mul <= WRITE_DMA);
    int reads = (d->read_a >= READ_VPM && d->read_a <= READ_WAIT) + (d->read_b >= READ_VPM && d->read_b <= READ_WAIT);
    if (loads_tmu && (writes || reads))
        forbid(d, strict, "VPM access beside a TMU load signal");
    int read_and_write = writes == 1 && reads == 1 && (d->out_add == WRITE_VPM || d->out_mul == WRITE_VPM) &&
                         (d->read_a == READ_VPM || d->read_b == READ_VPM);
    if (writes + reads > 1 && !read_and_write)
        forbid(d, strict, "two VPM accesses in one instruction");
}

static void check_r14(instruction *d)
{
    uint64_t r14 = UINT64_C(1) << 14 | UINT64_C(1) << 46;
    if ((d->reads | d->writes) & r14)
        d->end_rules |= END_R14;
}

/* ---- the four formats ---- */

static void decode_alu(instruction *d, uint64_t word, int strict)
{
    uint32_t raddr_a = bits(word, 23, 18), raddr_b = bits(word, 17, 12);
    uint32_t mux[4] = {bits(word, 11, 9), bits(word, 8, 6), bits(word, 5, 3), bits(word, 2, 0)};
    uint32_t to[2] = {bits(word, 43, 38), bits(word, 37, 32)}; /* the mutex is released whatever is written to it */
    d->kind = KIND_ALU;
    d->op_mul = (uint8_t)bits(word, 31, 29);
    d->op_add = (uint8_t)bits(word, 28, 24);
    uint8_t *operands[4] = {&d->add_a, &d->add_b, &d->mul_a, &d->mul_b};
    for (int i = 0; i < 4; i++) {
        *operands[i] = operand(d, mux[i], raddr_a, raddr_b);
        if (i == 1 ? alu_add_is_binary(d->op_add) : i == 0 ? d->op_add : d->op_mul)
            note_read(d, mux[i], raddr_a, raddr_b, d->set_flags || to[i / 2] != WRITE_MUTEX);
    }
    decode_input(d, raddr_a, &d->read_a);
    if (d->signal != SIGNAL_SMALL)
        decode_input(d, raddr_b, &d->read_b);
    decode_writes(d, d->op_add ? word : idle_add(d, word), strict);
    if (alu_add_is_reserved(d->op_add))
        refuse(d, V3D_UNSUPPORTED, "reserved add operation");
    if (!d->op_mul && d->to_mul != R_SINK)
        refuse(d, V3D_UNSUPPORTED, "unsupported: the mul ALU writes without an operation");
    if (d->signal == SIGNAL_SMALL && raddr_b >= 48) {
        d->rotate = raddr_b == 48 ? 16 : (uint8_t)(raddr_b - 48);
        d->rotate_full = mux[2] < 4 && mux[3] < 4;
        d->traits |= TRAIT_ROTATE;
        d->uses |= d->rotate == 16 ? NEXT_R5 : 0;
        for (int i = 2; i < 4; i++)
            d->uses |= mux[i] < 4 && d->op_mul ? (uint32_t)NEXT_ACC0 << mux[i] : 0;
    }
    if (d->set_flags)
        d->flags_from_mul = d->op_add == ADD_NOP;
    decode_unpack(d, word, raddr_a);
}

static void decode_immediate(instruction *d, uint64_t word, int strict)
{
    uint32_t mode = bits(word, 59, 57);
    d->kind = mode == 4 ? KIND_SEMAPHORE : KIND_IMMEDIATE;
    d->traits |= TRAIT_OTHER;
    d->immediate = (uint32_t)word;
    d->unpack = (uint8_t)mode; /* the immediate's form */
    decode_writes(d, word, strict);
    if (mode == 4) {
        d->semaphore = word & 15;
        d->semaphore_up = !(word >> 4 & 1);
        d->traits |= TRAIT_SHARED;
    } else if (mode != 0 && mode != 1 && mode != 3) {
        refuse(d, V3D_UNSUPPORTED, "reserved form of load immediate");
    }
}

static void decode_branch(instruction *d, uint64_t word, int strict)
{
    d->kind = KIND_BRANCH;
    d->traits |= TRAIT_OTHER;
    d->cond_add = d->cond_mul = 1;
    d->set_flags = 0;
    d->branch_condition = (uint8_t)bits(word, 55, 52);
    d->branch_relative = (uint8_t)bits(word, 51, 51);
    d->branch_register = (uint8_t)bits(word, 50, 50);
    d->raddr_a = (uint8_t)bits(word, 49, 45);
    d->immediate = (uint32_t)word;
    d->makes |= NEXT_TWO_BRANCH;
    d->uses |= NEXT_TWO_BRANCH;
    if (d->branch_register)
        d->reads |= UINT64_C(1) << d->raddr_a;
    decode_writes(d, word, strict);
    if (d->branch_condition > 11 && d->branch_condition != 15)
        refuse(d, V3D_UNSUPPORTED, "reserved branch condition");
}

static void decode(uint64_t word, int strict, instruction *d)
{
    memset(d, 0, sizeof *d);
    d->word = word;
    d->signal = (uint8_t)bits(word, 63, 60);
    d->cond_add = (uint8_t)bits(word, 51, 49);
    d->cond_mul = (uint8_t)bits(word, 48, 46);
    d->set_flags = (uint8_t)bits(word, 45, 45);
    switch (d->signal) {
    case SIGNAL_BRANCH:
        decode_branch(d, word, strict);
        break;
    case SIGNAL_IMMEDIATE:
        decode_immediate(d, word, strict);
        decode_pack(d, word);
        break;
    case SIGNAL_LDTMU0:
    case SIGNAL_LDTMU1:
    case SIGNAL_THREAD_END:
        d->traits |= TRAIT_SIGNAL | (d->signal == SIGNAL_THREAD_END ? TRAIT_SHARED : 0);
        d->uses |= d->signal == SIGNAL_THREAD_END ? 0 : NEXT_TWO_SFU;
        decode_alu(d, word, strict);
        decode_pack(d, word);
        break;
    case SIGNAL_NONE:
    case SIGNAL_SMALL:
        decode_alu(d, word, strict);
        decode_pack(d, word);
        break;
    default:
        refuse(d, V3D_UNSUPPORTED, "unsupported signal: breakpoint, thread switch, scoreboard or tile buffer");
    }
    if (d->set_flags)
        d->traits |= TRAIT_FLAGS;
    if ((d->cond_add != 1 && d->to_add != R_SINK) || (d->cond_mul != 1 && d->to_mul != R_SINK))
        d->traits |= TRAIT_CONDITION;
    check_peripherals(d, strict);
    check_r14(d);
}

/* ---- the ports' last values ---- */

/* An operand from a NOP address is the port's last value, lanes 12 to 15 for every quad (errata, "Secret access to
 * previous input values"). Supported where that is a uniform, the same in all lanes, read by the instructions just
 * before in memory with no branch between: then what the port gave is still in R_IN_A or R_IN_B. */
static int last_was_uniform(struct v3d *gpu, uint32_t bus, int port_b)
{
    for (;;) {
        bus -= 8;
        const uint8_t *memory = memory_at(gpu, bus, 8);
        uint64_t word = 0;
        if (memory == NULL)
            return 0;
        memcpy(&word, memory, sizeof word);
        uint32_t signal = bits(word, 63, 60);
        if (signal == SIGNAL_BRANCH || (port_b && signal == SIGNAL_SMALL))
            return 0;
        uint32_t address = port_b ? bits(word, 17, 12) : bits(word, 23, 18);
        if (signal != SIGNAL_IMMEDIATE && address != READ_NOP)
            return address == READ_UNIFORM;
    }
}

static void check_relays(struct v3d *gpu, uint32_t bus, instruction *d)
{
    if ((d->relays & RELAY_A && !last_was_uniform(gpu, bus, 0)) || (d->relays & RELAY_B && !last_was_uniform(gpu, bus, 1)))
        refuse(d, V3D_UNSUPPORTED, "unsupported: an operand from the NOP register whose last value was no uniform");
}

void decode_line(struct v3d *gpu, uint32_t line_bus, instruction *line)
{
    for (uint32_t i = 0; i < LINE_INSTRUCTIONS; i++) {
        const uint8_t *memory = memory_at(gpu, line_bus + 8 * i, 8);
        uint64_t word = 0;
        if (memory != NULL)
            memcpy(&word, memory, sizeof word);
        decode(word, gpu->strict, &line[i]);
        if (memory == NULL)
            refuse(&line[i], V3D_STRAY, "stray access: instruction outside the allocations");
        if (line[i].relays)
            check_relays(gpu, line_bus + 8 * i, &line[i]);
        if (line_bus + 8 * i == gpu->mark_bus)
            line[i].traits |= TRAIT_MARK;
    }
}
