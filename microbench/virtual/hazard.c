/* Which rule between instructions is broken, once one is known to be (guide p.37, "Summary of Instruction Restrictions";
 * errata). */
#include "instruction.h"
#include "internal.h"

void hazard_between(qpu *q, const instruction *d)
{
    uint64_t file = d->reads & q->previous->writes;
    uint32_t near = d->uses & q->previous->makes, within_two = near | (d->uses & q->before_previous->makes);
    if (file)
        broken_rule(q, "register file %c%d is read by the instruction after the one that writes it",
                    (uint32_t)file ? 'A' : 'B', __builtin_ctzll(file) & 31);
    if (near & NEXT_R5)
        broken_rule(q, "rotation by r5 right after r5 is written");
    if (near & NEXT_MASK)
        broken_rule(q, "rotation of r%d right after it is written", __builtin_ctz(near & NEXT_MASK));
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
