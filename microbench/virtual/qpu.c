/* A QPU: issue, operands, both ALUs, write-back and the instruction's effects outside (guide section 3). */
#include <string.h>

#include "instruction.h"
#include "internal.h"

enum { RUN_AHEAD = 65536 }; /* cycles after which a QPU gives way even if it touches nothing shared */

static const instruction nothing;

void qpu_reset(qpu *q, struct v3d *gpu, int index, uint32_t uniforms, uint32_t code)
{
    memset(q, 0, sizeof *q);
    q->gpu = gpu;
    q->index = index;
    q->slice = index / gpu->qpus_per_slice;
    q->state = QPU_RUNNING;
    q->pc = q->code_bus = code;
    q->previous = q->before_previous = &nothing;
    for (int i = 0; i < 16; i++) {
        q->r[R_ELEMENT].w[i] = (uint32_t)i;
        q->r[R_QPU].w[i] = (uint32_t)index;
    }
    for (uint32_t i = 0; i < 64; i++) {
        uint32_t value = i < 16 ? i : i < 32 ? i - 32 : i < 40 ? (95 + i) << 23 : i < 48 ? (79 + i) << 23 : i - 64;
        vec_fill(&q->r[R_SMALL + i], value);
    }
    for (int i = 0; i < 5; i++) /* register contents at the start are arbitrary on silicon */
        vec_fill(&q->r[R_ACC + i], 0xffffffffu);
    for (int i = R_FILE_A; i < R_FILE_B + 32; i++)
        vec_fill(&q->r[i], 0xffffffffu);
    uniform_start(q, uniforms);
    q->uniform.credit_words = gpu->uniform_burst;
}

/* ---- rules between instructions ---- */

static inline void check_hazards(qpu *q, const instruction *d)
{
    uint64_t file = d->reads & q->previous->writes;
    uint32_t makes = q->previous->makes | (q->before_previous->makes & NEXT_TWO_MASK);
    if (__builtin_expect(file != 0 || (d->uses & makes) != 0, 0))
        hazard_between(q, d);
    if (__builtin_expect(q->end_in || d->signal == SIGNAL_THREAD_END, 0))
        hazard_at_end(q, d, d->signal == SIGNAL_THREAD_END);
}

/* ---- waiting ---- */

static int writes_dma(const instruction *d, int store)
{
    return (d->out_add == WRITE_DMA && d->by_b_add == store) || (d->out_mul == WRITE_DMA && d->by_b_mul == store);
}

/* Whether the instruction may be issued now. Nothing has been done when it may not. */
static int may_issue(qpu *q, const instruction *d)
{
    struct v3d *gpu = q->gpu;
    if (d->kind == KIND_SEMAPHORE && gpu->semaphores[d->semaphore] == (d->semaphore_up ? 15 : 0))
        return qpu_block(q, CAUSE_SEMAPHORE, d->semaphore, d->semaphore_up);
    if ((d->read_a == READ_MUTEX || d->read_b == READ_MUTEX) && !arbitrate(q, MUTEX, gpu->mutex_owner < 0 ? 0 : NOT_KNOWN))
        return 0;
    return (!writes_dma(d, 0) || dma_can_start(q, 0)) && (!writes_dma(d, 1) || dma_can_start(q, 1));
}

/* ---- register-mapped inputs ---- */

static void read_input(qpu *q, uint8_t address, int port_b)
{
    vec *r = &q->r[port_b ? R_IN_B : R_IN_A];
    switch (address) {
    case READ_VPM:
        vpm_read(q, r);
        break;
    case READ_BUSY:
        vec_fill(r, (port_b ? q->gpu->store.free : q->gpu->load.free) > q->now);
        break;
    case READ_WAIT:
        stall_until(q, port_b ? q->vpm.store_done : q->vpm.load_done, CAUSE_DMA);
        vec_fill(r, 0);
        break;
    default: /* the mutex */
        q->gpu->mutex_owner = q->index;
        q->gpu->promised[MUTEX] = -1;
        *r = q->r[port_b ? R_QPU : R_ELEMENT];
    }
}

static void read_inputs(qpu *q, const instruction *d)
{
    if (d->traits & TRAIT_UNIFORM) {
        uint32_t word = uniform_read(q); /* one word for both ports */
        if (d->read_a == READ_UNIFORM)
            vec_fill(&q->r[R_IN_A], word);
        if (d->read_b == READ_UNIFORM)
            vec_fill(&q->r[R_IN_B], word);
    }
    if (d->read_a > READ_NOP)
        read_input(q, d->read_a, 0);
    if (d->read_b > READ_NOP)
        read_input(q, d->read_b, 1);
}

/* ---- register-mapped outputs ---- */

static void sfu_request(qpu *q, int function, const vec *v)
{
    struct v3d *gpu = q->gpu;
    const int unit = q->index / gpu->sfu_qpus;
    stall_until(q, gpu->sfu_free[unit], CAUSE_SFU);
    gpu->sfu_free[unit] = q->now + gpu->sfu_time;
    alu_sfu((enum sfu_function)function, gpu->sfu_bits[function], v, &q->r[R_ACC + 4]);
}

static void release_mutex(qpu *q)
{
    if (q->gpu->mutex_owner != q->index)
        broken_rule(q, "mutex released by a QPU that does not hold it");
    q->gpu->mutex_owner = -1;
    promise_next(q->gpu, MUTEX, q->now);
}

static void write_output(qpu *q, uint8_t address, int port_b, const vec *v)
{
    switch (address) {
    case WRITE_NOSWAP:
        q->tmu_swap_off = v->w[0] != 0;
        break;
    case WRITE_HOST:
        q->gpu->result->host_interrupts += v->w[0] != 0;
        break;
    case WRITE_UNIFORMS:
        q->gpu->result->uniform_address_writes++;
        uniform_start(q, v->w[0]);
        break;
    case WRITE_VPM:
        vpm_write(q, v);
        break;
    case WRITE_SETUP:
        port_b ? vpm_setup_write(q, v->w[0]) : vpm_setup_read(q, v->w[0]);
        break;
    case WRITE_DMA:
        port_b ? dma_start_store(q, v->w[0]) : dma_start_load(q, v->w[0]);
        break;
    case WRITE_MUTEX:
        release_mutex(q);
        break;
    case WRITE_TMU0:
    case WRITE_TMU1:
        tmu_request(q, address == WRITE_TMU1, v);
        break;
    default:
        sfu_request(q, address - WRITE_SFU, v);
    }
}

/* ---- results ---- */

void condition_mask(const qpu *q, int condition, vec *mask)
{
    const vec *flag = condition < 4 ? &q->flag_z : condition < 6 ? &q->flag_n : &q->flag_c;
    uint32_t invert = condition & 1 ? UINT32_MAX : 0;
    if (condition < 2) {
        vec_fill(mask, condition ? UINT32_MAX : 0);
        return;
    }
    for (int k = 0; k < 4; k++)
        mask->u[k] = flag->u[k] ^ invert;
}

static void blend(vec *to, const vec *from, const vec *mask)
{
    for (int k = 0; k < 4; k++)
        to->u[k] = (from->u[k] & mask->u[k]) | (to->u[k] & ~mask->u[k]);
}

static void set_flags(qpu *q, const vec *r, const vec *carry, const vec *mask)
{
    vec zero, negative;
    for (int k = 0; k < 4; k++) {
        zero.u[k] = (u32x4)(r->u[k] == 0);
        negative.u[k] = (u32x4)(r->i[k] < 0);
    }
    blend(&q->flag_z, &zero, mask);
    blend(&q->flag_n, &negative, mask);
    blend(&q->flag_c, carry, mask);
}

/* r5 keeps one lane a quad, or one for all when it is written through port B. */
static void spread_r5(vec *v, int by_b)
{
    vec r;
    for (int i = 0; i < 16; i++)
        r.w[i] = v->w[by_b ? 0 : i & ~3];
    *v = r;
}

static void rotate(const qpu *q, const instruction *d, vec *v)
{
    uint32_t n = d->rotate == 16 ? q->r[R_ACC + 5].w[0] & 15 : d->rotate;
    vec r;
    for (uint32_t i = 0; i < 16; i++)
        r.w[d->rotate_full ? (i + n) & 15 : (i & 12) | ((i + n) & 3)] = v->w[i];
    *v = r;
}

typedef struct {
    vec add, mul, carry, overflow;
    int add_float, mul_float;
} results;

/* A lane that gets two values keeps what no source tells; the same value twice is harmless (py-videocore ends its
 * programs so). */
static void check_same(qpu *q, const instruction *d, const results *r, const vec *add_mask, const vec *mul_mask)
{
    u32x4 differ = {0};
    for (int k = 0; k < 4; k++)
        differ |= (r->add.u[k] ^ r->mul.u[k]) & add_mask->u[k] & mul_mask->u[k];
    if (any_lane(differ))
        broken_rule(q, "both ALUs write r%d, and not the same", d->to_add - R_ACC);
    else
        v3d_warn(q, V3D_WARNING_same_result, q->pc);
}

static void write_back(qpu *q, const instruction *d, results *r)
{
    vec add_mask, mul_mask;
    condition_mask(q, d->cond_add, &add_mask);
    condition_mask(q, d->cond_mul, &mul_mask);
    if (d->traits & TRAIT_FLAGS) {
        if (!d->flags_from_mul)
            set_flags(q, &r->add, &r->carry, &add_mask);
        else
            set_flags(q, &r->mul, &r->carry, &mul_mask);
    }
    if (d->pack_add)
        alu_pack_a(d->pack_add, r->add_float, &r->add, &r->overflow, &q->r[d->to_add], &r->add);
    if (d->pack_colour)
        alu_pack_mul(d->pack_colour, &r->mul, &q->r[d->to_mul], &r->mul);
    if (d->pack_mul) {
        memset(&r->overflow, 0, sizeof r->overflow);
        alu_pack_a(d->pack_mul, r->mul_float, &r->mul, &r->overflow, &q->r[d->to_mul], &r->mul);
    }
    if (d->to_add == R_ACC + 5)
        spread_r5(&r->add, d->by_b_add);
    if (d->to_mul == R_ACC + 5)
        spread_r5(&r->mul, d->by_b_mul);
    if (d->traits & TRAIT_CONDITION) {
        q->written_add = add_mask;
        q->written_mul = mul_mask;
    }
    if (d->traits & TRAIT_SAME)
        check_same(q, d, r, &add_mask, &mul_mask);
    if (d->out_add)
        memset(&q->r[R_OUT_ADD], 0, sizeof(vec));
    if (d->out_mul)
        memset(&q->r[R_OUT_MUL], 0, sizeof(vec));
    if (d->cond_add == 1)
        q->r[d->to_add] = r->add;
    else
        blend(&q->r[d->to_add], &r->add, &add_mask);
    if (d->cond_mul == 1)
        q->r[d->to_mul] = r->mul;
    else
        blend(&q->r[d->to_mul], &r->mul, &mul_mask);
}

/* ---- ALU instructions ---- */

static inline void alu_simple(qpu *q, const instruction *d)
{
    vec *r = q->r;
    if (d->op_add == ADD_NOP) {
        if (d->op_mul != MUL_NOP)
            alu_mul(d->op_mul, q->gpu->fmul_nearest, &r[d->mul_a], &r[d->mul_b], &r[d->to_mul]);
    } else if (d->op_mul == MUL_NOP) {
        alu_add(d->op_add, &r[d->add_a], &r[d->add_b], &r[d->to_add]);
    } else {
        vec sum;
        alu_add(d->op_add, &r[d->add_a], &r[d->add_b], &sum);
        alu_mul(d->op_mul, q->gpu->fmul_nearest, &r[d->mul_a], &r[d->mul_b], &r[d->to_mul]);
        r[d->to_add] = sum;
    }
}

static void alu_full(qpu *q, const instruction *d)
{
    results r;
    const vec *a = &q->r[d->add_a], *b = &q->r[d->add_b];
    alu_add(d->op_add, a, b, &r.add);
    alu_mul(d->op_mul, q->gpu->fmul_nearest, &q->r[d->mul_a], &q->r[d->mul_b], &r.mul);
    r.add_float = alu_add_gives_float(d->op_add);
    r.mul_float = d->op_mul == MUL_FMUL;
    if (d->traits & TRAIT_FLAGS && !d->flags_from_mul)
        alu_add_carry(d->op_add, a, b, &r.add, &r.carry);
    else
        alu_mul_carry(&r.carry);
    if (d->pack_add)
        alu_add_overflow(d->op_add, a, b, &r.add, &r.overflow);
    if (d->traits & TRAIT_ROTATE)
        rotate(q, d, &r.mul);
    write_back(q, d, &r);
}

/* ---- other instructions ---- */

static void immediate_value(const instruction *d, vec *v)
{
    if (d->kind == KIND_SEMAPHORE || d->unpack == 0) {
        vec_fill(v, d->immediate);
        return;
    }
    for (int i = 0; i < 16; i++) {
        uint32_t low = d->immediate >> i & 1, high = d->immediate >> (16 + i) & 1;
        v->w[i] = d->unpack == 1 ? low - 2 * high : low + 2 * high;
    }
}

static void write_value(qpu *q, const instruction *d, const vec *v)
{
    results r = {.add = *v, .mul = *v};
    write_back(q, d, &r);
}

static int branch_taken(const qpu *q, int condition)
{
    const vec *flag = condition < 4 ? &q->flag_z : condition < 8 ? &q->flag_n : &q->flag_c;
    u32x4 any = flag->u[0] | flag->u[1] | flag->u[2] | flag->u[3];
    u32x4 any_clear = ~(flag->u[0] & flag->u[1] & flag->u[2] & flag->u[3]);
    if (condition == 15)
        return 1;
    switch (condition & 3) {
    case 0:
        return !any_lane(any_clear);
    case 1:
        return !any_lane(any);
    case 2:
        return any_lane(any);
    default:
        return any_lane(any_clear);
    }
}

/* The link is written only when the branch is taken; so are the flags, by an odd register number (errata). */
static int execute_branch(qpu *q, const instruction *d)
{
    if (!branch_taken(q, d->branch_condition))
        return 0;
    uint32_t target = d->immediate, link = q->pc + 32;
    if (d->branch_relative)
        target += link;
    if (d->branch_register)
        target += q->r[R_FILE_A + d->raddr_a].w[15];
    q->branch_target = target;
    vec v, carry, all;
    vec_fill(&v, link);
    write_value(q, d, &v);
    if (d->raddr_a & 1) {
        vec_fill(&carry, 0);
        vec_fill(&all, UINT32_MAX);
        set_flags(q, &v, &carry, &all);
    }
    return 1;
}

static void execute_semaphore(qpu *q, const instruction *d)
{
    q->gpu->semaphores[d->semaphore] += d->semaphore_up ? 1 : -1;
    q->gpu->semaphore_by[d->semaphore] = q;
    q->gpu->semaphore_bus[d->semaphore] = q->pc;
    wake_for_semaphore(q->gpu, d->semaphore, q->now);
}

/* ---- one instruction ---- */

static void record_mark(qpu *q)
{
    v3d_result *result = q->gpu->result;
    uint32_t n = q->marks++;
    if (n >= V3D_MARKS)
        return;
    result->mark_cycles[n] = later(result->mark_cycles[n], q->now);
    if (n + 1 > result->mark_count)
        result->mark_count = n + 1;
    if (q->gpu->seen.profile)
        observe_mark(q->gpu, n);
}

static void move_on(qpu *q, int branched, int ends)
{
    q->pc += 8;
    if (q->branch_in && --q->branch_in == 0) {
        q->pc = q->branch_target;
        q->line = NULL;
    } else if ((q->pc & (LINE_BYTES - 1)) == 0) {
        q->line = NULL;
    }
    if (q->end_in && --q->end_in == 0)
        q->state = QPU_DONE;
    if (branched)
        q->branch_in = 3;
    if (ends)
        q->end_in = 2;
}

static int execute_special(qpu *q, const instruction *d)
{
    vec v, loaded;
    int branched = 0, loads_tmu = d->signal == SIGNAL_LDTMU0 || d->signal == SIGNAL_LDTMU1;
    if (loads_tmu)
        tmu_receive(q, d->signal == SIGNAL_LDTMU1, &loaded);
    if (d->traits & TRAIT_INPUT)
        read_inputs(q, d);
    if (d->traits & TRAIT_MARK)
        record_mark(q);
    if (d->kind == KIND_BRANCH) {
        branched = execute_branch(q, d);
    } else if (d->kind == KIND_ALU) {
        if (d->traits & TRAIT_UNPACK)
            alu_unpack(d->unpack, d->unpack_float, &q->r[d->unpack_from], &q->r[R_UNPACKED]);
        if (d->traits & TRAITS_OF_RESULTS)
            alu_full(q, d);
        else
            alu_simple(q, d);
    } else {
        immediate_value(d, &v);
        write_value(q, d, &v);
        if (d->kind == KIND_SEMAPHORE)
            execute_semaphore(q, d);
    }
    if (loads_tmu)
        q->r[R_ACC + 4] = loaded;
    if (d->out_add)
        write_output(q, d->out_add, d->by_b_add, &q->r[R_OUT_ADD]);
    if (d->out_mul)
        write_output(q, d->out_mul, d->by_b_mul, &q->r[R_OUT_MUL]);
    return branched;
}

/* Whether an instruction has to wait for the QPUs whose clocks are behind. */
static inline int needs_turn(const qpu *q, const instruction *d)
{
    return d->traits & TRAIT_SHARED || (d->traits & TRAIT_UNIFORM && uniform_is_shared(q));
}

void qpu_run(qpu *q, uint64_t limit)
{
    struct v3d *gpu = q->gpu;
    const cycles horizon = q->now + RUN_AHEAD;
    while (q->state == QPU_RUNNING) {
        if (q->line == NULL) {
            q->line = icache_fetch(q, turn_of(q) <= limit);
            if (q->line == NULL || q->now > horizon)
                return;
        }
        instruction *d = &q->line[q->pc >> 3 & (LINE_INSTRUCTIONS - 1)];
        int branched = 0;
        if (d->traits & (TRAIT_SHARED | TRAIT_UNIFORM | TRAIT_ERROR | TRAIT_TOLERATED | TRAIT_IDLE_WRITE)) {
            if (d->traits & TRAIT_ERROR)
                v3d_fail(q, d->error_status, "%s", d->error);
            if (needs_turn(q, d) && turn_of(q) > limit)
                return;
            if (d->traits & TRAIT_SHARED && !may_issue(q, d))
                continue;
            if (d->traits & TRAIT_TOLERATED)
                broken_rule(q, "a rule of one instruction");
            if (d->traits & TRAIT_IDLE_WRITE)
                v3d_warn(q, V3D_WARNING_idle_add_write, q->pc);
        }
        check_hazards(q, d);
        if ((d->traits & ~(uint32_t)(TRAIT_UNIFORM | TRAIT_INPUT | TRAIT_IDLE_WRITE)) == 0) {
            if (d->traits & TRAIT_INPUT)
                read_inputs(q, d);
            alu_simple(q, d);
        } else {
            branched = execute_special(q, d);
            if (gpu->woken)
                gpu->woken = 0, limit = 0;
        }
        q->now += gpu->issue;
        d->executions++;
        q->before_previous = q->previous;
        q->previous = d;
        move_on(q, branched, d->signal == SIGNAL_THREAD_END);
    }
}
