#include "stand_in.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 64, CONSTANTS = sizeof(v3d_config) / sizeof(double), HABITS = sizeof(v3d_habits) / sizeof(double) };

static const char *const constant_names[] = {
#define FIELD_NAME(name) #name,
    V3D_CONFIG_FIELDS(FIELD_NAME)
};
static const char *const habit_names[] = {V3D_HABITS(FIELD_NAME)};
#undef FIELD_NAME

static int place_of(const char *name, const char *const *names, int count)
{
    int place = 0;
    while (place < count && strcmp(names[place], name) != 0)
        ++place;
    return place;
}

static void digest(stand_in *board, const char *text)
{
    for (; *text; ++text) /* FNV-1a */
        board->digest = (board->digest ^ (uint8_t)*text) * 16777619u;
}

static int take(stand_in *board, const char *name, double value, uint8_t *given)
{
    const int constant = place_of(name, constant_names, CONSTANTS), habit = place_of(name, habit_names, HABITS);
    if (constant < CONSTANTS) {
        memcpy((double *)&board->config + constant, &value, sizeof value);
        given[constant] = 1;
    } else if (habit < HABITS) {
        memcpy((double *)&board->habits + habit, &value, sizeof value);
    } else if (strcmp(name, STAND_IN_NOISE) == 0) {
        board->launch_noise = value;
    } else {
        return -1;
    }
    return 0;
}

int stand_in_read(const char *path, stand_in *board)
{
    char line[2 * NAME_BYTES], name[NAME_BYTES];
    double value;
    uint8_t given[CONSTANTS] = {0};
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    memset(board, 0, sizeof *board);
    board->digest = 2166136261u;
    int failed = 0;
    while (!failed && fgets(line, sizeof line, file)) {
        digest(board, line);
        failed = sscanf(line, "%63s %lf", name, &value) != 2 || take(board, name, value, given) != 0;
    }
    fclose(file);
    board->random = board->digest;
    return failed || memchr(given, 0, sizeof given) ? -1 : 0;
}

v3d *stand_in_new(const stand_in *board, int strict)
{
    v3d *gpu = v3d_new(&board->config, strict);
    if (gpu)
        v3d_behave(gpu, &board->habits);
    return gpu;
}

/* Evenly from above 0 to 1 (SplitMix64). */
static double drawn(stand_in *board)
{
    uint64_t x = board->random += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (double)((x ^ x >> 31) >> 11) * 0x1p-53 + 0x1p-54;
}

double stand_in_time_s(stand_in *board, double time_s)
{
    if (board->launch_noise == 0.0)
        return time_s;
    const double normal = sqrt(-2.0 * log(drawn(board))) * cos(6.283185307179586 * drawn(board));
    const double factor = 1.0 + board->launch_noise * normal;
    return time_s * (factor > 0.5 ? factor : 0.5);
}
