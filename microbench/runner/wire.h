/* Frames on a file descriptor, and the values inside them. */
#ifndef EXPLORE_RUNNER_WIRE_H
#define EXPLORE_RUNNER_WIRE_H

#include <stddef.h>
#include <stdint.h>

/* Reads values off a payload. Reading past its end gives zeros and sets `bad`, once and for all. */
typedef struct reader {
    const uint8_t *data;
    size_t size, at;
    int bad;
} reader;

uint32_t read_u32(reader *from);
double read_f64(reader *from);
const uint8_t *read_raw(reader *from, size_t bytes); /* NULL when they are not there */
const uint8_t *read_bytes(reader *from, uint32_t *bytes);
char *read_string(reader *from); /* a copy to be freed; NULL when absent, or a zero byte is in it */

/* A count of items of at least `item_bytes` each; more than the payload can hold is bad, and 0. */
uint32_t read_count(reader *from, size_t item_bytes);

/* Appends values to a payload. Out of memory sets `failed`, and nothing is appended any more. */
typedef struct writer {
    uint8_t *data;
    size_t size, capacity;
    int failed;
} writer;

void put_u32(writer *to, uint32_t value);
void put_f64(writer *to, double value);
void put_bytes(writer *to, const void *data, size_t bytes);
void put_string(writer *to, const char *text);
void put_frame_bytes(writer *to, const void *data, size_t bytes); /* without a length */

enum frame_result { FRAME_OK, FRAME_END, FRAME_BROKEN };

/* Reads one whole frame; `*payload` (to be freed) holds `*bytes`. FRAME_BROKEN: not a frame, or damaged. */
enum frame_result frame_read(int fd, uint32_t *type, uint8_t **payload, size_t *bytes);

/* 0 when the whole frame was written. */
int frame_write(int fd, uint32_t type, const void *payload, size_t bytes);

#endif
