/*
 * Frees the GPU's memory when the runner can no longer do so itself, killed for instance.
 *
 * The firmware keeps memory until the next boot, whoever took it has ended or not. A small process beside the runner
 * knows what is taken; it waits for the runner's end, frees what is left, and ends.
 */
#ifndef EXPLORE_RUNNER_GUARDIAN_H
#define EXPLORE_RUNNER_GUARDIAN_H

/*
 * Starts the guardian; -1 with errno where it cannot be started. Before there is another thread, and before anything
 * is open that must close with the runner: the guardian keeps no descriptor of it, but for a moment.
 */
int guardian_start(void);

/* Whether the runner uses the QPUs: they are switched off before memory under them is freed. */
void guardian_note_use(int in_use);

#endif
