/* The emulator takes the place of a program of the board's: used by the plugin, and by what this machine's programs load. */
#ifndef EXPLORE_EMULATOR_H
#define EXPLORE_EMULATOR_H

/*
 * Executes the emulator, by the words in the board's file `emulator`, where `path` is an executable ELF file of its
 * machine; returns, with nothing changed, where it is not.
 */
void emulator_become(const char *board, const char *path, char *const *arguments, char *const *environment);

#endif
