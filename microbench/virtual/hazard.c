/* Which rule between instructions is broken, once one is known to be (guide p.37, "Summary of Instruction Restrictions";
 * errata). */
#include "instruction.h"
#include "internal.h"

/* Whether a rotation takes a value that the instruction before wrote down to a lower quad, to a lane that is written: only
 * there silicon gives the old value (errata, "Horizontal vector rotation"; py-videocore's matrix products rotate right
 * after they write one lane). */
static int brings_new_down(const qpu *q, const instruction *d, int accumulator)
{
    const instruction *before = q->previous;
    const vec *fresh = before->to_mul == R_ACC + accumulator ? &q->written_mul : &q->written_add;
    uint32_t lanes = d->rotate == 16 ? q->r[R_ACC + 5].w[0] & 15 : d->rotate;
    vec heeded;
    condition_mask(q, d->cond_mul, &heeded);
    for (uint32_t to = 0; to < 16 && d->rotate_full; to++) {
        uint32_t from = (to - lanes) & 15;
        int taken = d->to_mul != R_ACC + 5 || (d->by_b_mul ? to == 0 : to % 4 == 0);
        int new = !(before->traits & TRAIT_CONDITION) || fresh->w[from];
        if (taken && new && heeded.w[to] && from / 4 > to / 4)
            return 1;
    }
    return 0;
}

static void check_rotation(qpu *q, const instruction *d, uint32_t accumulators)
{
    for (int i = 0; i < 4; i++)
        if (accumulators >> i & 1 && brings_new_down(q, d, i)) {
            broken_rule(q, "rotation of r%d right after it is written", i);
            return;
        }
    v3d_warn(q, V3D_WARNING_rotation_follows, q->pc);
}

void hazard_between(qpu *q, const instruction *d)
{
    uint64_t file = d->reads & q->previous->writes;
    uint32_t near = d->uses & q->previous->makes, within_two = near | (d->uses & q->before_previous->makes);
    if (file)
        broken_rule(q, "register file %c%d is read by the instruction after the one that writes it",
                    (uint32_t)file ? 'A' : 'B', __builtin_ctzll(file) & 31);
    if (near & NEXT_R5)
        broken_rule(q, "rotation by r5 right after r5 is written");
    if (near & NEXT_ACCUMULATORS)
        check_rotation(q, d, near & NEXT_ACCUMULATORS);
    if (within_two & NEXT_TWO_SFU)
        broken_rule(q, "r4 is read or written within two instructions of an SFU request");
    if (within_two & NEXT_TWO_UNIFORMS)
        broken_rule(q, "uniform read within two instructions of a write of the uniforms' address");
    if (within_two & NEXT_TWO_BRANCH)
        broken_rule(q, "fewer than two instructions between branches");
    if (within_two & NEXT_TWO_NOSWAP)
        broken_rule(q, "TMU request within two instructions of a write of TMU_NOSWAP");
}

void hazard_at_end(qpu *q, const instruction *d, int at_end)
{
    if (at_end && d->end_rules & END_WRITES_FILE)
        broken_rule(q, "thread end: its instruction writes a register file");
    if (d->end_rules & END_UNIFORM)
        broken_rule(q, "thread end: uniform read in the last three instructions");
    if (d->end_rules & END_VPM)
        broken_rule(q, "thread end: VPM or DMA access in the last three instructions");
    if (d->end_rules & END_R14)
        broken_rule(q, "thread end: register 14 of a file in the last three instructions");
}
