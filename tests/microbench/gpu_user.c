/* Takes GPU memory twice, frees one, and ends as it is told. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform.h"

int main(int argc, char **argv)
{
    uint32_t bus = 0, kept = 0;
    void *pointer = NULL;
    if (argc != 2 || platform_open() != PLATFORM_OK ||
        platform_gpu_alloc(64, PLATFORM_MEMORY_USUAL, &bus, &pointer) != PLATFORM_OK ||
        platform_gpu_alloc(64, PLATFORM_MEMORY_USUAL, &kept, &pointer) != PLATFORM_OK)
        return 9;
    platform_gpu_free(bus);
    if (strcmp(argv[1], "crash") == 0)
        abort();
    while (strcmp(argv[1], "hang") == 0)
        pause();
    platform_close();
    return 0;
}
