#define _GNU_SOURCE

#include "firmware.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#ifndef FIRMWARE_DEVICE
#define FIRMWARE_DEVICE "/dev/vcio"
#endif

enum { TAG_ENABLE_QPU = 0x30012, HEADER_WORDS = 5, WORD = 4 };

#define RESPONSE_GOOD 0x80000000u
#define CALL _IOWR(100, 0, char *)

int firmware_open(void) { return open(FIRMWARE_DEVICE, O_RDWR | O_CLOEXEC); }

int firmware_call(int device, uint32_t tag, uint32_t *values, uint32_t sent, uint32_t received)
{
    const uint32_t room = sent > received ? sent : received;
    uint32_t message[HEADER_WORDS + FIRMWARE_MOST_VALUES + 1] __attribute__((aligned(16))) = {
        (HEADER_WORDS + room + 1) * WORD, 0, tag, room * WORD, sent * WORD};
    memcpy(message + HEADER_WORDS, values, sent * sizeof *values);
    (void)ioctl(device, CALL, message);
    if (message[1] != RESPONSE_GOOD || !(message[4] & RESPONSE_GOOD) ||
        (message[4] & ~RESPONSE_GOOD) < received * WORD)
        return 0;
    memcpy(values, message + HEADER_WORDS, received * sizeof *values);
    return 1;
}

int firmware_enable_qpus(int device, uint32_t enable)
{
    uint32_t value = enable;
    return firmware_call(device, TAG_ENABLE_QPU, &value, 1, 1) && value == 0;
}
