/* What the kernel of any Linux machine shows of its clocks and temperature in sysfs, mounted at `system`. */
#ifndef EXPLORE_RUNNER_SENSORS_H
#define EXPLORE_RUNNER_SENSORS_H

/* Each gives 1 with a value, 0 where the kernel shows none. `file` is one of cpufreq's: the highest of all cores. */
int read_cpu_clock(const char *system, const char *file, double *hz);
int read_temperature(const char *system, double *celsius); /* the highest of all zones */
int read_throttle_flags(const char *system, double *flags); /* the firmware's word, on a Raspberry Pi */

#endif
