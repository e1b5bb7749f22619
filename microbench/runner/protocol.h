/*
 * What a host and the runner say to each other, over the runner's standard input and output.
 *
 * A frame is a header of four little-endian 32-bit words, then the payload:
 *   magic, type, payload bytes, CRC-32 (polynomial of IEEE 802.3) of type, length and payload.
 * The host sends a request and waits for its one answer, whose type is the request's with ANSWER_BIT set, or
 * FRAME_ERROR. The runner ends at FRAME_QUIT, at the end of its input, and at a frame it cannot trust.
 *
 * In payloads u32 and f64 are little-endian, `bytes` are a u32 length and so many bytes, `string` is bytes of
 * UTF-8, and `name[]` is a u32 count and so many of what follows in braces.
 *
 * HELLO    f64 constants[]{}: of the virtual GPU, in the order of its configuration structure; of a board with constants
 *          of its own how memory is to be allocated, where there are two ways; else empty
 *   answer u32 protocol version, string machine, kernel, cpu model, backend, kind of its times, software,
 *          f64 GPU clock in Hz (0: unknown), u32 cores of the CPU that the runner may use,
 *          string model of the board by its device tree (empty: it has none), string what tells this machine from
 *          every other (its serial number or machine id; empty: unknown), f64 highest clock of the CPU in Hz (0: unknown)
 * GPU_RUN  u32 size in bytes, word[]{u32}, relocation[]{u32 index of a word}, launch[]{u32 control offset,
 *          u32 QPUs, u32 offset of the marked instruction or NO_MARK}, input[]{u32 offset, bytes},
 *          output[]{u32 offset, u32 size}, u32 repeats, f64 limit of one launch in seconds, f64 limit of all
 *   answer counter[]{string name}, u32 repeats, u32 launches, then for each launch of each repeat
 *          {f64 seconds, f64 seconds of this process' CPU time meanwhile, mark[]{f64 seconds since its start},
 *          one f64 for each counter}, output[]{bytes}, twice condition[]{u32 state, f64 value}: before
 *          the first launch and after the last (conditions.h)
 * EXEC     string SHA-256 of an executable in the runner's bin directory, argument[]{string},
 *          file[]{string name, bytes}, output[]{string name}, f64 limit in seconds,
 *          u32 cores it is pinned to (0: all that the runner may use)
 *   answer u32 how it ended (enum ending), u32 exit code or signal, f64 seconds, bytes stdout, bytes stderr,
 *          output[]{u32 present, bytes}, twice condition[]{u32 state, f64 value}
 * QUIT     empty; the answer is empty
 * ERROR    u32 code (enum fault), string message
 */
#ifndef EXPLORE_RUNNER_PROTOCOL_H
#define EXPLORE_RUNNER_PROTOCOL_H

#define PROTOCOL_VERSION 4u
#define FRAME_MAGIC 0x4e525845u /* "EXRN" */
#define FRAME_LIMIT (1u << 29)  /* payload bytes */
#define ANSWER_BIT 0x80u
#define NO_MARK 0xffffffffu

enum frame_type { FRAME_HELLO = 1, FRAME_GPU_RUN = 2, FRAME_EXEC = 3, FRAME_QUIT = 4, FRAME_ERROR = 0xff };

enum fault {
    FAULT_PROTOCOL = 1,  /* the request makes no sense */
    FAULT_BOARD = 2,     /* this machine cannot do it */
    FAULT_CANDIDATE = 3, /* the program is at fault */
    FAULT_ABSENT = 4,    /* no such executable here: upload it */
    FAULT_BUSY = 5,      /* another host holds this machine */
    FAULT_STOPPED = 6,   /* the GPU stopped the program: hazard, stray access, deadlock or time limit */
    FAULT_FULL = 7       /* the disk is full; the message says how much was needed, and how much is free */
};

enum ending { ENDED_BY_EXIT = 0, ENDED_BY_SIGNAL = 1, ENDED_BY_LIMIT = 2 };

#endif
