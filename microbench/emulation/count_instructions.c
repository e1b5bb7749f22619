/*
 * A TCG plugin for qemu-user that counts the guest's executed instructions.
 *
 *   qemu-arm -plugin count_instructions.so,out=FILE program ...
 *
 * FILE receives one decimal number when the program ends. Blocks of instructions are counted as they are entered; the
 * counter is not atomic, so the number is exact for programs of one thread.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "qemu_plugin.h"

EXPORT int qemu_plugin_version = 1;

static uint64_t executed;
static char place[4096];

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &executed,
                                             qemu_plugin_tb_n_insns(block));
}

static void ended(qemu_plugin_id_t id, void *data)
{
    (void)id;
    (void)data;
    FILE *file = fopen(place, "w");
    if (file) {
        fprintf(file, "%llu\n", (unsigned long long)executed);
        fclose(file);
    }
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count, char **arguments)
{
    static const char name[] = "out=";
    (void)info;
    if (count != 1 || strncmp(arguments[0], name, sizeof(name) - 1) != 0 ||
        strlen(arguments[0]) >= sizeof(place)) {
        fprintf(stderr, "count_instructions: give out=FILE\n");
        return -1;
    }
    strcpy(place, arguments[0] + sizeof(name) - 1);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
