/* The floor of the rows about pixels: libavcodec, libswscale and libjpeg-turbo alone, in one thread, with nothing between them.
 *
 * codecs jpeg-jpeg FILE PICTURES WIDTH...    scaled decoding, scaling where a width needs it, encoding
 * codecs h264-jpeg FILE PICTURES WIDTH...    one decoding, then each width scaled and encoded
 * codecs jpeg-h264 FILE PICTURES KBPS PRESET decoding, libx264 without delay
 *
 * With -r RATE so many pictures a second, else one after the other.
 * Reads the file before the clock starts, plays it over and over, and prints what the process took as JSON.
 */
#include <libavcodec/avcodec.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <turbojpeg.h>

#define MOST_PICTURES 4096
#define MOST_WIDTHS 16
enum { QUALITY = 85 };

struct piece {
    const unsigned char *data;
    size_t length;
};

struct planes {
    unsigned char *memory, *plane[3];
    int stride[3], width, height;
};

static void fail(const char *what) {
    fprintf(stderr, "codecs: %s\n", what);
    exit(1);
}

/* Pictures a second; 0: one after the other. */
static int rate;

/* Sleeps until `picture` is due, as one who is given pictures by a camera does: his caches are cold and his processor is slow. */
static void wait_for(int picture) {
    static struct timespec start;
    if (rate == 0) return;
    if (picture == 0) clock_gettime(CLOCK_MONOTONIC, &start);
    long long due = start.tv_sec * 1000000000LL + start.tv_nsec + picture * 1000000000LL / rate;
    struct timespec until = {due / 1000000000, due % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static double cpu_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static unsigned char *read_file(const char *name, size_t *length) {
    FILE *file = fopen(name, "rb");
    if (!file) fail(name);
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = calloc(1, *length + AV_INPUT_BUFFER_PADDING_SIZE);
    if (!bytes || fread(bytes, 1, *length, file) != *length) fail("cannot read the clip");
    fclose(file);
    return bytes;
}

static int split_jpegs(const unsigned char *bytes, size_t length, struct piece *pieces) {
    int count = 0;
    size_t begin = 0;
    for (size_t at = 1; at < length && count < MOST_PICTURES; at++) {
        int ends = bytes[at - 1] == 0xFF && bytes[at] == 0xD9;
        if (ends && (at + 2 >= length || (bytes[at + 1] == 0xFF && bytes[at + 2] == 0xD8))) {
            pieces[count++] = (struct piece){bytes + begin, at + 1 - begin};
            begin = at + 1;
        }
    }
    return count;
}

static int split_h264(unsigned char *bytes, size_t length, struct piece *pieces, AVCodecContext *decoder) {
    AVCodecParserContext *parser = av_parser_init(AV_CODEC_ID_H264);
    int count = 0;
    while (length > 0 && count < MOST_PICTURES) {
        unsigned char *unit;
        int unit_length;
        int used = av_parser_parse2(parser, decoder, &unit, &unit_length, bytes, (int)length, 0, 0, 0);
        bytes += used;
        length -= (size_t)used;
        if (unit_length == 0 && length == 0)
            av_parser_parse2(parser, decoder, &unit, &unit_length, NULL, 0, 0, 0, 0);
        if (unit_length > 0) {
            unsigned char *copy = calloc(1, (size_t)unit_length + AV_INPUT_BUFFER_PADDING_SIZE);
            memcpy(copy, unit, (size_t)unit_length);
            pieces[count++] = (struct piece){copy, (size_t)unit_length};
        }
    }
    av_parser_close(parser);
    return count;
}

static struct planes planes_of(int width, int height) {
    int stride = (width + 31) / 16 * 16, rows = (height + 31) / 16 * 16;
    struct planes planes = {.width = width, .height = height};
    planes.memory = malloc((size_t)stride * (size_t)rows * 2);
    if (!planes.memory) fail("memory");
    planes.plane[0] = planes.memory;
    planes.plane[1] = planes.plane[0] + stride * rows;
    planes.plane[2] = planes.plane[1] + stride / 2 * rows / 2;
    planes.stride[0] = stride;
    planes.stride[1] = planes.stride[2] = stride / 2;
    return planes;
}

/* One size that JPEGs are encoded in. */
struct small {
    struct SwsContext *scaler;
    struct planes planes;
    tjhandle encoder;
    unsigned char *out;
    size_t out_room;
};

static struct small small_of(int width, int from_width, int from_height) {
    int height = (from_height * width / from_width + 1) / 2 * 2;
    struct small small = {.planes = planes_of(width, height), .encoder = tj3Init(TJINIT_COMPRESS)};
    if (width != from_width)
        small.scaler = sws_getContext(from_width, from_height, AV_PIX_FMT_YUV420P, width, height, AV_PIX_FMT_YUV420P,
                                      SWS_FAST_BILINEAR, NULL, NULL, NULL);
    tj3Set(small.encoder, TJPARAM_QUALITY, QUALITY);
    tj3Set(small.encoder, TJPARAM_SUBSAMP, TJSAMP_420);
    tj3Set(small.encoder, TJPARAM_NOREALLOC, 1);
    small.out_room = tj3JPEGBufSize(width, height, TJSAMP_420);
    small.out = tj3Alloc(small.out_room);
    return small;
}

static size_t encode_small(struct small *small, const unsigned char *const *plane, const int *stride, int rows) {
    size_t length = small->out_room;
    if (small->scaler) {
        sws_scale(small->scaler, plane, stride, 0, rows, small->planes.plane, small->planes.stride);
        plane = (const unsigned char *const *)small->planes.plane;
        stride = small->planes.stride;
    }
    if (tj3CompressFromYUVPlanes8(small->encoder, plane, small->planes.width, stride, small->planes.height, &small->out, &length))
        fail(tj3GetErrorStr(small->encoder));
    return length;
}

static tjhandle open_jpeg(struct piece piece, int least_width, tjscalingfactor *scale, struct planes *planes) {
    tjhandle decoder = tj3Init(TJINIT_DECOMPRESS);
    if (tj3DecompressHeader(decoder, piece.data, piece.length)) fail(tj3GetErrorStr(decoder));
    int width = tj3Get(decoder, TJPARAM_JPEGWIDTH), height = tj3Get(decoder, TJPARAM_JPEGHEIGHT);
    int count;
    tjscalingfactor *factors = tj3GetScalingFactors(&count);
    tjscalingfactor best = {1, 1};
    for (int i = 0; i < count; i++)
        if (TJSCALED(width, factors[i]) >= least_width && TJSCALED(width, factors[i]) < TJSCALED(width, best))
            best = factors[i];
    *scale = best;
    *planes = planes_of(TJSCALED(width, best), TJSCALED(height, best));
    return decoder;
}

static void decode_jpeg(tjhandle decoder, struct piece piece, tjscalingfactor scale, struct planes *planes) {
    if (tj3DecompressHeader(decoder, piece.data, piece.length) || tj3SetScalingFactor(decoder, scale) ||
        tj3DecompressToYUVPlanes8(decoder, piece.data, piece.length, planes->plane, planes->stride))
        fail(tj3GetErrorStr(decoder));
}

static AVCodecContext *open_encoder(int width, int height, int kbps, const char *preset) {
    AVCodecContext *encoder = avcodec_alloc_context3(avcodec_find_encoder_by_name("libx264"));
    if (!encoder) fail("no libx264");
    encoder->width = width;
    encoder->height = height;
    encoder->pix_fmt = AV_PIX_FMT_YUV420P;
    encoder->time_base = (AVRational){1, 30};
    encoder->framerate = (AVRational){30, 1};
    encoder->gop_size = 60;
    encoder->max_b_frames = 0;
    encoder->thread_count = 1;
    encoder->bit_rate = encoder->rc_max_rate = kbps * 1000L;
    encoder->rc_buffer_size = kbps * 500;
    av_opt_set(encoder->priv_data, "preset", preset, 0);
    av_opt_set(encoder->priv_data, "tune", "zerolatency", 0);
    av_opt_set(encoder->priv_data, "profile", "baseline", 0);
    if (avcodec_open2(encoder, NULL, NULL) < 0) fail("the encoder does not open");
    return encoder;
}

static size_t jpeg_jpeg(struct piece *pieces, int count, int pictures, int widths, const int *width, double *began) {
    struct planes planes;
    struct small small[MOST_WIDTHS];
    tjscalingfactor scale;
    int most = 0;
    size_t bytes = 0;
    for (int i = 0; i < widths; i++)
        if (width[i] > most) most = width[i];
    tjhandle decoder = open_jpeg(pieces[0], most, &scale, &planes);
    for (int i = 0; i < widths; i++) small[i] = small_of(width[i], planes.width, planes.height);
    *began = cpu_seconds();
    for (int picture = 0; picture < pictures; picture++) {
        wait_for(picture);
        decode_jpeg(decoder, pieces[picture % count], scale, &planes);
        for (int i = 0; i < widths; i++)
            bytes += encode_small(&small[i], (const unsigned char *const *)planes.plane, planes.stride, planes.height);
    }
    return bytes;
}

static size_t h264_jpeg(struct piece *pieces, int count, int pictures, int widths, const int *width, AVCodecContext *decoder,
                        double *began) {
    struct small small[MOST_WIDTHS];
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    size_t bytes = 0;
    int opened = 0;
    *began = cpu_seconds();
    for (int picture = 0; picture < pictures; picture++) {
        wait_for(picture);
        packet->data = (uint8_t *)pieces[picture % count].data;
        packet->size = (int)pieces[picture % count].length;
        if (avcodec_send_packet(decoder, packet) < 0) fail("a picture is not taken");
        while (avcodec_receive_frame(decoder, frame) == 0) {
            for (int i = 0; i < widths && !opened; i++) small[i] = small_of(width[i], frame->width, frame->height);
            opened = 1;
            for (int i = 0; i < widths; i++)
                bytes += encode_small(&small[i], (const unsigned char *const *)frame->data, frame->linesize, frame->height);
        }
    }
    return bytes;
}

static size_t jpeg_h264(struct piece *pieces, int count, int pictures, int kbps, const char *preset, double *began) {
    struct planes planes;
    tjscalingfactor scale;
    tjhandle decoder = open_jpeg(pieces[0], 1 << 16, &scale, &planes);
    AVCodecContext *encoder = open_encoder(planes.width, planes.height, kbps, preset);
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    size_t bytes = 0;
    frame->format = AV_PIX_FMT_YUV420P;
    frame->width = planes.width;
    frame->height = planes.height;
    for (int i = 0; i < 3; i++) {
        frame->data[i] = planes.plane[i];
        frame->linesize[i] = planes.stride[i];
    }
    *began = cpu_seconds();
    for (int picture = 0; picture < pictures; picture++) {
        wait_for(picture);
        decode_jpeg(decoder, pieces[picture % count], scale, &planes);
        frame->pts = picture;
        if (avcodec_send_frame(encoder, frame) < 0) fail("a picture is not taken");
        while (avcodec_receive_packet(encoder, packet) == 0) {
            bytes += (size_t)packet->size;
            av_packet_unref(packet);
        }
    }
    return bytes;
}

int main(int arguments, char **argument) {
    static struct piece pieces[MOST_PICTURES];
    if (arguments > 2 && !strcmp(argument[1], "-r")) {
        rate = atoi(argument[2]);
        arguments -= 2;
        argument += 2;
    }
    if (arguments < 5) fail("usage: [-r RATE] jpeg-jpeg|h264-jpeg|jpeg-h264 FILE PICTURES WIDTH... | KBPS PRESET");
    const char *work = argument[1];
    size_t length, bytes = 0;
    unsigned char *clip = read_file(argument[2], &length);
    int pictures = atoi(argument[3]), widths = 0, width[MOST_WIDTHS];
    double began = 0;
    av_log_set_level(AV_LOG_ERROR);
    for (int i = 4; i < arguments && widths < MOST_WIDTHS; i++) width[widths++] = atoi(argument[i]);
    if (!strcmp(work, "h264-jpeg")) {
        AVCodecContext *decoder = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_H264));
        decoder->thread_count = 1;
        if (avcodec_open2(decoder, NULL, NULL) < 0) fail("the decoder does not open");
        bytes = h264_jpeg(pieces, split_h264(clip, length, pieces, decoder), pictures, widths, width, decoder, &began);
    } else {
        int count = split_jpegs(clip, length, pieces);
        if (count == 0) fail("no JPEG in the clip");
        if (!strcmp(work, "jpeg-jpeg")) bytes = jpeg_jpeg(pieces, count, pictures, widths, width, &began);
        else bytes = jpeg_h264(pieces, count, pictures, width[0], arguments > 5 ? argument[5] : "superfast", &began);
    }
    double took = cpu_seconds() - began;
    printf("{\"pictures\": %d, \"cpu_seconds\": %.6f, \"bytes\": %zu}\n", pictures, took, bytes);
    return 0;
}
