/*
 * What a network takes a picture for: the largest values of its outputs.
 *
 *   classify [--bundle DIR] [--labels FILE] [--top N] [--mean M[,M,M]] [--std S[,S,S]] FILE
 *
 * USAGE below is what --help prints. Exit code: 0 done; 1 bad arguments or files; 2 the platform or the bundle could not
 * be opened; 3 a launch on the GPU failed. Anything but 0 comes with one line on stderr, "error: ...".
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_GENERIC_NAMES
#include "model.h"
#include "platform.h"

enum { EXIT_FILES = 1, EXIT_OPEN = 2, EXIT_LAUNCH = 3, MOST_CHANNELS = 3, MOST_SIDE = 32768 };

static const char USAGE[] =
    "classify: what a network takes a picture for\n"
    "\n"
    "  FILE           *.ppm or *.pgm: a picture (binary, 8 bits); its shorter side is scaled to the input's, and the\n"
    "                 middle is cut out. Any other name: the input's elements as they are, little-endian, row-major\n"
    "  --mean M[,M,M] of the picture's channels, where bytes are 0 to 1; subtracted (default 0)\n"
    "  --std S[,S,S]  of the picture's channels likewise; divided by (default 1)\n"
    "  --labels FILE  names of the classes, one a line\n"
    "  --top N        classes to show of each output (default 5)\n"
    "  --bundle DIR   directory of weights.bin and, where the plan uses the GPU, model.qpu (default: this one)\n"
    "  --help         this text\n"
    "\n"
    "A line for each class: its number, its value, its name. An input of bytes takes the picture's as they are.\n"
    "Exit code: 0 done, 1 bad arguments or files, 2 the bundle or the GPU cannot be opened, 3 a launch failed.\n";

typedef struct options {
    const char *bundle, *labels, *file;
    size_t top;
    double mean[MOST_CHANNELS], std[MOST_CHANNELS];
    int help;
} options;

/* Pixels of 1 or 3 channels, row by row, channels last. */
typedef struct picture {
    size_t width, height, channels;
    unsigned char *pixels;
} picture;

/* Where a picture's numbers lie in the input. */
typedef struct plane {
    size_t width, height, channels;
    int channels_first;
} plane;

static int fail(int code, const char *what, const char *why)
{
    fprintf(stderr, "error: %s: %s\n", what, why);
    return code;
}

/* One number for all channels, or one for each of three. */
static int parse_channels(const char *text, double *values)
{
    int count = 0;
    for (;;) {
        char *end = NULL;
        const double value = strtod(text, &end);
        if (end == text || count == MOST_CHANNELS || !isfinite(value))
            return 0;
        values[count++] = value;
        if (*end == '\0')
            break;
        if (*end != ',')
            return 0;
        text = end + 1;
    }
    for (int c = 1; count == 1 && c < MOST_CHANNELS; ++c)
        values[c] = values[0];
    return count == 1 || count == MOST_CHANNELS;
}

static int parse_value(options *chosen, const char *name, const char *value)
{
    char *end = NULL;
    int good = 1;
    if (!value)
        return fail(EXIT_FILES, name, "its value is missing; classify --help lists the options");
    if (strcmp(name, "--bundle") == 0)
        chosen->bundle = value;
    else if (strcmp(name, "--labels") == 0)
        chosen->labels = value;
    else if (strcmp(name, "--mean") == 0)
        good = parse_channels(value, chosen->mean);
    else if (strcmp(name, "--std") == 0)
        good = parse_channels(value, chosen->std) && chosen->std[0] != 0 && chosen->std[1] != 0 && chosen->std[2] != 0;
    else if (strcmp(name, "--top") == 0) {
        const long top = strtol(value, &end, 10);
        good = end != value && *end == '\0' && top > 0;
        chosen->top = good ? (size_t)top : 0;
    } else
        return fail(EXIT_FILES, name, "unknown option; classify --help lists them");
    return good ? 0 : fail(EXIT_FILES, name, "its value is no number above 0, or not one or three with commas between");
}

static int parse_options(int argc, char **argv, options *chosen)
{
    *chosen = (options){".", NULL, NULL, 5, {0, 0, 0}, {1, 1, 1}, 0};
    for (int i = 1; i < argc; ++i) {
        int code = 0;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            chosen->help = 1;
        else if (argv[i][0] == '-') {
            code = parse_value(chosen, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
            ++i;
        } else if (chosen->file)
            code = fail(EXIT_FILES, argv[i], "one file at a time");
        else
            chosen->file = argv[i];
        if (code != 0)
            return code;
    }
    return chosen->file || chosen->help ? 0 : fail(EXIT_FILES, "FILE", "is missing; classify --help says what it may be");
}

static plane plane_of(const model_tensor *input)
{
    const size_t *shape = input->shape;
    const int first = shape[1] == 1 || shape[1] == 3;
    return first ? (plane){shape[3], shape[2], shape[1], 1} : (plane){shape[2], shape[1], shape[3], 0};
}

/* The next number of a picture's head, and the character behind it; comments go from # to the line's end. 0: none. */
static size_t head_number(FILE *file)
{
    size_t value = 0;
    int c = fgetc(file);
    while (c == '#' || c == ' ' || c == '\t' || c == '\r' || c == '\n') {
        while (c == '#' && (c = fgetc(file)) != '\n' && c != EOF)
            c = '#';
        c = fgetc(file);
    }
    for (; c >= '0' && c <= '9' && value <= MOST_SIDE; c = fgetc(file))
        value = 10 * value + (size_t)(c - '0');
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' ? value : 0;
}

static int read_pixels(FILE *file, const char *path, picture *seen)
{
    const int magic = fgetc(file), kind = fgetc(file);
    if (magic != 'P' || (kind != '5' && kind != '6'))
        return fail(EXIT_FILES, path, "is no binary PPM or PGM (P6, P5); its README says how a JPEG becomes one");
    seen->channels = kind == '6' ? 3 : 1;
    seen->width = head_number(file);
    seen->height = head_number(file);
    const size_t most = head_number(file);
    if (seen->width < 1 || seen->height < 1 || seen->width > MOST_SIDE || seen->height > MOST_SIDE || most != 255)
        return fail(EXIT_FILES, path, "has no size from 1 to 32768, or not 255 as its largest value");
    const size_t bytes = seen->width * seen->height * seen->channels;
    seen->pixels = malloc(bytes);
    if (!seen->pixels)
        return fail(EXIT_FILES, path, "is too large for this machine's memory");
    return fread(seen->pixels, 1, bytes, file) == bytes ? 0 : fail(EXIT_FILES, path, "ends before its last pixel");
}

static int read_picture(const char *path, picture *seen)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return fail(EXIT_FILES, path, strerror(errno));
    const int code = read_pixels(file, path, seen);
    fclose(file);
    return code;
}

/* The picture in shades of grey (ITU-R BT.601), or grey in three channels. 0 when memory is out. */
static int take_channels(picture *seen, size_t channels)
{
    if (seen->channels == channels)
        return 1;
    const size_t count = seen->width * seen->height;
    unsigned char *pixels = malloc(count * channels);
    for (size_t i = 0; pixels && i < count; ++i) {
        const unsigned char *from = seen->pixels + i * seen->channels;
        if (channels == 1)
            pixels[i] = (unsigned char)((299u * from[0] + 587u * from[1] + 114u * from[2] + 500u) / 1000u);
        else
            memset(pixels + i * channels, from[0], channels);
    }
    free(seen->pixels);
    seen->pixels = pixels;
    seen->channels = channels;
    return pixels != NULL;
}

/* Weights of the elements from `*first` on that make element i of `out` from `in` of them: a triangle as wide as the
 * pixel that is made, so that nothing is skipped where a picture becomes smaller. Returns how many. */
static size_t triangle(size_t in, size_t out, size_t i, size_t *first, double *weights)
{
    const double scale = (double)in / (double)out, reach = scale > 1 ? scale : 1, middle = ((double)i + 0.5) * scale;
    const double start = middle - reach + 0.5, end = middle + reach + 0.5;
    double sum = 0;
    *first = start > 0 ? (size_t)start : 0;
    const size_t count = (end < (double)in ? (size_t)end : in) - *first;
    for (size_t k = 0; k < count; ++k) {
        const double away = fabs(((double)(*first + k) + 0.5 - middle) / reach);
        weights[k] = away < 1 ? 1 - away : 0;
        sum += weights[k];
    }
    for (size_t k = 0; k < count; ++k)
        weights[k] /= sum;
    return count;
}

/* [outer, in, inner] to [outer, out, inner]. NULL when memory is out. */
static unsigned char *resampled(const unsigned char *from, size_t outer, size_t in, size_t out, size_t inner)
{
    const int fits = out <= SIZE_MAX / outer / inner;
    unsigned char *to = fits ? malloc(outer * out * inner) : NULL;
    double *weights = malloc((in + 2) * sizeof *weights);
    for (size_t i = 0; to && weights && i < out; ++i) {
        size_t first = 0;
        const size_t count = triangle(in, out, i, &first, weights);
        for (size_t o = 0; o < outer; ++o)
            for (size_t c = 0; c < inner; ++c) {
                const unsigned char *source = from + (o * in + first) * inner + c;
                double sum = 0.5;
                for (size_t k = 0; k < count; ++k)
                    sum += weights[k] * source[k * inner];
                to[(o * out + i) * inner + c] = (unsigned char)sum;
            }
    }
    if (!weights) {
        free(to);
        to = NULL;
    }
    free(weights);
    return to;
}

static size_t scaled_side(size_t side, double ratio)
{
    const double scaled = rint((double)side * ratio);
    return scaled < 1 ? 1 : (size_t)scaled;
}

/* Scales the shorter side to the input's. 0 when memory is out. */
static int scale(picture *seen, const plane *wanted)
{
    const double x = (double)wanted->width / (double)seen->width, y = (double)wanted->height / (double)seen->height;
    const size_t width = scaled_side(seen->width, x > y ? x : y), height = scaled_side(seen->height, x > y ? x : y);
    unsigned char *wide = resampled(seen->pixels, seen->height, seen->width, width, seen->channels);
    unsigned char *high = wide ? resampled(wide, 1, seen->height, height, width * seen->channels) : NULL;
    free(wide);
    free(seen->pixels);
    *seen = (picture){width, height, seen->channels, high};
    return high != NULL;
}

/* The middle of the picture as the input's elements. */
static void fill_input(const picture *seen, const plane *wanted, const options *chosen, int is_float, void *input)
{
    const size_t left = (seen->width - wanted->width) / 2, top = (seen->height - wanted->height) / 2;
    for (size_t y = 0; y < wanted->height; ++y)
        for (size_t x = 0; x < wanted->width; ++x)
            for (size_t c = 0; c < wanted->channels; ++c) {
                const unsigned char byte = seen->pixels[((top + y) * seen->width + left + x) * seen->channels + c];
                const size_t place = wanted->channels_first ? (c * wanted->height + y) * wanted->width + x
                                                            : (y * wanted->width + x) * wanted->channels + c;
                if (is_float)
                    ((float *)input)[place] = (float)((byte / 255.0 - chosen->mean[c]) / chosen->std[c]);
                else
                    ((unsigned char *)input)[place] = byte;
            }
}

static int take_picture(const options *chosen, const model_tensor *tensor, void *input)
{
    const plane wanted = plane_of(tensor);
    picture seen = {0, 0, 0, NULL};
    int code = read_picture(chosen->file, &seen);
    if (code == 0 && !(take_channels(&seen, wanted.channels) && scale(&seen, &wanted)))
        code = fail(EXIT_FILES, chosen->file, "is too large for this machine's memory");
    if (code == 0)
        fill_input(&seen, &wanted, chosen, strcmp(tensor->type, "float32") == 0, input);
    free(seen.pixels);
    return code;
}

static int take_elements(const char *path, const model_tensor *tensor, void *input)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return fail(EXIT_FILES, path, strerror(errno));
    const int complete = fread(input, tensor->element_bytes, tensor->elements, file) == tensor->elements;
    const int longer = fgetc(file) != EOF;
    fclose(file);
    char what[160];
    snprintf(what, sizeof what, "is neither *.ppm nor *.pgm, and does not hold the %lu bytes of the input's elements",
             (unsigned long)(tensor->elements * tensor->element_bytes));
    return complete && !longer ? 0 : fail(EXIT_FILES, path, what);
}

static int ends_in(const char *text, const char *end)
{
    const size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static int take_input(const options *chosen, const model_tensor *tensor, void *input)
{
    const int is_picture = ends_in(chosen->file, ".ppm") || ends_in(chosen->file, ".pgm");
    return is_picture ? take_picture(chosen, tensor, input) : take_elements(chosen->file, tensor, input);
}

/* Text of others on a terminal: control characters are shown as ?. */
static void print_text(const char *text, size_t size)
{
    for (size_t i = 0; i < size; ++i) {
        const unsigned char byte = (unsigned char)text[i];
        putchar(byte < 0x20 || byte == 0x7F ? '?' : byte);
    }
}

/* A whole file with a 0 behind it; NULL with an error's line. */
static char *read_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    const long size = file && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    if (size >= 0 && fseek(file, 0, SEEK_SET) == 0)
        text = malloc((size_t)size + 1);
    if (text && fread(text, 1, (size_t)size, file) == (size_t)size)
        text[size] = '\0';
    else {
        fail(EXIT_FILES, path, errno ? strerror(errno) : "cannot be read as labels, one a line");
        free(text);
        text = NULL;
    }
    if (file)
        fclose(file);
    return text;
}

static size_t count_lines(const char *text)
{
    size_t lines = 0;
    for (; *text; ++lines) {
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return lines;
}

static void print_line(const char *text, size_t number)
{
    for (; number > 0; --number)
        text += strcspn(text, "\n") + 1;
    print_text(text, strcspn(text, "\r\n"));
}

/* The largest value behind `last` in order, of equal ones the first; `last` is `count` at first, as is what ends. */
static size_t next_largest(const float *values, size_t count, size_t last)
{
    size_t best = count;
    for (size_t i = 0; i < count; ++i) {
        const int is_behind = last == count || values[i] < values[last] || (values[i] == values[last] && i > last);
        if (is_behind && values[i] == values[i] && (best == count || values[i] > values[best]))
            best = i;
    }
    return best;
}

static int show_output(const model_tensor *tensor, const float *values, const options *chosen, const char *labels)
{
    if (labels && count_lines(labels) != tensor->elements) {
        char what[96];
        snprintf(what, sizeof what, "has %lu lines, an output has %lu values", (unsigned long)count_lines(labels),
                 (unsigned long)tensor->elements);
        return fail(EXIT_FILES, chosen->labels, what);
    }
    print_text(tensor->name, strlen(tensor->name));
    putchar('\n');
    size_t best = tensor->elements;
    for (size_t n = 0; n < chosen->top; ++n) {
        best = next_largest(values, tensor->elements, best);
        if (best == tensor->elements)
            break;
        printf("%6lu  %10.4f", (unsigned long)best, (double)values[best]);
        if (labels) {
            fputs("  ", stdout);
            print_line(labels, best);
        }
        putchar('\n');
    }
    return 0;
}

static int show(const options *chosen, void *const *outputs)
{
    const model_info *info = model_describe();
    char *labels = chosen->labels ? read_text(chosen->labels) : NULL;
    int code = chosen->labels && !labels ? EXIT_FILES : 0;
    for (int i = 0; code == 0 && i < info->output_count; ++i)
        if (strcmp(info->outputs[i].type, "float32") == 0)
            code = show_output(&info->outputs[i], outputs[i], chosen, labels);
    free(labels);
    if (code == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        code = fail(EXIT_FILES, "standard output", strerror(errno));
    return code;
}

static int infer(const options *chosen, void *input, void *const *outputs)
{
    char error[512] = "";
    const void *inputs[] = {input};
    model_handle *model = NULL;
    if (model_open(chosen->bundle, &model, error, sizeof error) != PLATFORM_OK)
        return fail(EXIT_OPEN, "init", error);
    if (model_without_gpu(model))
        fprintf(stderr, "warning: the plan for the CPU runs: %s\n", model_without_gpu(model));
    const int code = model_run(model, (const void *)inputs, (void *)outputs);
    if (code != PLATFORM_OK)
        fail(EXIT_LAUNCH, "run", platform_message(code));
    model_free(model);
    return code == PLATFORM_OK ? 0 : code == PLATFORM_STOPPED ? EXIT_LAUNCH : EXIT_OPEN;
}

static int classify(const options *chosen, void *input, void **outputs)
{
    const model_info *info = model_describe();
    int complete = input && outputs;
    for (int i = 0; complete && i < info->output_count; ++i) {
        outputs[i] = calloc(info->outputs[i].elements + 1, info->outputs[i].element_bytes);
        complete = outputs[i] != NULL;
    }
    int code = complete ? 0 : fail(EXIT_FILES, "memory", "not enough for input and outputs");
    if (code == 0)
        code = take_input(chosen, &info->inputs[0], input);
    if (code == 0)
        code = infer(chosen, input, outputs);
    return code == 0 ? show(chosen, outputs) : code;
}

int main(int argc, char **argv)
{
    options chosen;
    const int wrong = parse_options(argc, argv, &chosen);
    if (wrong != 0 || chosen.help)
        return wrong != 0 || fputs(USAGE, stdout) < 0 ? EXIT_FILES : 0;
    const model_info *info = model_describe();
    void *input = calloc(info->inputs[0].elements + 1, info->inputs[0].element_bytes);
    void **outputs = calloc((size_t)info->output_count + 1, sizeof *outputs);
    const int code = classify(&chosen, input, outputs);
    for (int i = 0; outputs && i < info->output_count; ++i)
        free(outputs[i]);
    free(outputs);
    free(input);
    return code;
}
