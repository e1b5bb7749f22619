/* A board that the simulator stands for: what it is stands in a file on its own machine, which its host does not see.
 *
 * Each line of the file is a name, a space and a number: every constant of the core (v3d_config), habits (v3d_habits)
 * where it has any, and STAND_IN_NOISE, the standard deviation of a launch's time as a share of it.
 */
#ifndef STAND_IN_H
#define STAND_IN_H

#include "v3d.h"

#define STAND_IN_NOISE "launch_noise"

typedef struct {
    v3d_config config;
    v3d_habits habits;
    double launch_noise;
    uint32_t digest; /* of the file: tells boards apart and says nothing of their constants */
    uint64_t random; /* state of the noise: the same file has the same */
} stand_in;

/* 0, or -1 where the file cannot be read, has a line that is not of this form, or lacks a constant. */
int stand_in_read(const char *path, stand_in *board);
/* A virtual core like the board's; NULL as v3d_new. */
v3d *stand_in_new(const stand_in *board, int strict);
/* What a launch takes whose simulated time is given. */
double stand_in_time_s(stand_in *board, double time_s);

#endif
