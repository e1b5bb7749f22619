#include "wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "values are copied as they lie in memory: the runner wants a little-endian machine"
#endif

const uint8_t *read_raw(reader *from, size_t bytes)
{
    if (from->bad || bytes > from->size - from->at) {
        from->bad = 1;
        return NULL;
    }
    const uint8_t *start = from->data + from->at;
    from->at += bytes;
    return start;
}

uint32_t read_u32(reader *from)
{
    uint32_t value = 0;
    const uint8_t *raw = read_raw(from, sizeof value);
    if (raw)
        memcpy(&value, raw, sizeof value);
    return value;
}

double read_f64(reader *from)
{
    double value = 0.0;
    const uint8_t *raw = read_raw(from, sizeof value);
    if (raw)
        memcpy(&value, raw, sizeof value);
    return value;
}

uint32_t read_count(reader *from, size_t item_bytes)
{
    const uint32_t count = read_u32(from);
    if (from->bad || count > (from->size - from->at) / item_bytes) {
        from->bad = 1;
        return 0;
    }
    return count;
}

const uint8_t *read_bytes(reader *from, uint32_t *bytes)
{
    *bytes = read_count(from, 1);
    return read_raw(from, *bytes);
}

char *read_string(reader *from)
{
    uint32_t bytes = 0;
    const uint8_t *raw = read_bytes(from, &bytes);
    char *text = raw && !memchr(raw, 0, bytes) ? malloc((size_t)bytes + 1) : NULL;
    if (!text) {
        from->bad = 1;
        return NULL;
    }
    memcpy(text, raw, bytes);
    text[bytes] = '\0';
    return text;
}

void put_frame_bytes(writer *to, const void *data, size_t bytes)
{
    if (!to->failed && to->size + bytes > to->capacity) {
        const size_t capacity = 2 * (to->size + bytes) + 64;
        uint8_t *larger = realloc(to->data, capacity);
        to->failed = larger == NULL;
        if (larger) {
            to->data = larger;
            to->capacity = capacity;
        }
    }
    if (to->failed || bytes == 0)
        return;
    memcpy(to->data + to->size, data, bytes);
    to->size += bytes;
}

void put_u32(writer *to, uint32_t value) { put_frame_bytes(to, &value, sizeof value); }

void put_f64(writer *to, double value) { put_frame_bytes(to, &value, sizeof value); }

void put_bytes(writer *to, const void *data, size_t bytes)
{
    put_u32(to, (uint32_t)bytes);
    put_frame_bytes(to, data, bytes);
}

void put_string(writer *to, const char *text) { put_bytes(to, text, strlen(text)); }

static uint32_t crc_table[256];

static void crc_prepare(void)
{
    for (uint32_t byte = 0; byte < 256; ++byte) {
        uint32_t rest = byte;
        for (int bit = 0; bit < 8; ++bit)
            rest = (rest >> 1) ^ (rest & 1 ? 0xedb88320u : 0);
        crc_table[byte] = rest;
    }
}

static uint32_t crc_of(uint32_t crc, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    if (crc_table[1] == 0)
        crc_prepare();
    crc = ~crc;
    while (bytes--)
        crc = crc_table[(crc ^ *at++) & 0xff] ^ (crc >> 8);
    return ~crc;
}

static uint32_t frame_crc(const uint32_t *header, const void *payload, size_t bytes)
{
    return crc_of(crc_of(0, header + 1, 2 * sizeof *header), payload, bytes);
}

static enum frame_result read_all(int fd, void *data, size_t bytes)
{
    size_t done = 0;
    while (done < bytes) {
        const ssize_t got = read(fd, (uint8_t *)data + done, bytes - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return done == 0 && got == 0 ? FRAME_END : FRAME_BROKEN;
        done += (size_t)got;
    }
    return FRAME_OK;
}

static int write_all(int fd, const void *data, size_t bytes)
{
    size_t done = 0;
    while (done < bytes) {
        const ssize_t put = write(fd, (const uint8_t *)data + done, bytes - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return -1;
        done += (size_t)put;
    }
    return 0;
}

enum frame_result frame_read(int fd, uint32_t *type, uint8_t **payload, size_t *bytes)
{
    uint32_t header[4];
    *payload = NULL;
    const enum frame_result first = read_all(fd, header, sizeof header);
    if (first != FRAME_OK)
        return first;
    if (header[0] != FRAME_MAGIC || header[2] > FRAME_LIMIT)
        return FRAME_BROKEN;
    *type = header[1];
    *bytes = header[2];
    *payload = malloc(*bytes + 1);
    if (!*payload || (*bytes && read_all(fd, *payload, *bytes) != FRAME_OK) ||
        frame_crc(header, *payload, *bytes) != header[3]) {
        free(*payload);
        *payload = NULL;
        return FRAME_BROKEN;
    }
    return FRAME_OK;
}

int frame_write(int fd, uint32_t type, const void *payload, size_t bytes)
{
    uint32_t header[4] = {FRAME_MAGIC, type, (uint32_t)bytes, 0};
    if (bytes > FRAME_LIMIT)
        return -1;
    header[3] = frame_crc(header, payload, bytes);
    return write_all(fd, header, sizeof header) || write_all(fd, payload, bytes);
}
