#include "shim.h"

#include <string.h>

#include <libavcodec/avcodec.h>
#include <libavutil/imgutils.h>
#include <libavutil/log.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>

struct ocelli_decoder {
    AVCodecContext *context;
    AVPacket *packet;
    AVFrame *frame;
    /* The picture that is being decoded, where that is looked after. */
    AVFrame *begun;
    /* Pictures of more than 8 bits, or in another order of planes, are made plain in here. */
    AVFrame *plain;
    struct SwsContext *plainer;
};

static const enum AVPixelFormat LAYOUTS[] = {
    AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUV422P, AV_PIX_FMT_YUV444P, AV_PIX_FMT_GRAY8,
};
static const enum AVPixelFormat FULL_RANGE[] = {
    AV_PIX_FMT_YUVJ420P, AV_PIX_FMT_YUVJ422P, AV_PIX_FMT_YUVJ444P, AV_PIX_FMT_GRAY8,
};

static _Thread_local uint32_t missing;

/* Messages of FFmpeg's decoders go nowhere: they quote strangers' bytes. But only they say that a picture was missing: the first of
   these does of H.265, the second of H.264. */
void ocelli_listen(void *from, int level, const char *format, va_list rest) {
    (void)from;
    ocelli_encoder_heard(level, format, rest);
    if (strncmp(format, "Could not find ref with POC", 27) == 0 || strncmp(format, "Frame num gap", 13) == 0) {
        missing++;
    }
}

uint32_t ocelli_decoder_missing(void) {
    return missing;
}

void ocelli_words(int32_t error, char *words, size_t room) {
    av_strerror(error, words, room);
}

uint32_t ocelli_libavcodec(void) {
    return avcodec_version();
}

/* Of H.265 libavcodec stops decoding a slice where it breaks the syntax, and gives the picture as it is, without a word. So what
 * no picture has is written into each of its blocks before, the smallest of which are 16 samples wide and high, and it is looked
 * whether that is still there. The 8 bytes are within the least that a block at the edge can have. */
static const uint8_t UNTOUCHED[8] = {0x9e, 0x01, 0xf3, 0x37, 0xd4, 0x0c, 0xa5, 0x68};

/* Calls for the place of each block until `each` says that it is enough. */
static int for_blocks(const AVFrame *frame, int (*each)(uint8_t *place)) {
    const AVPixFmtDescriptor *format = av_pix_fmt_desc_get(frame->format);
    if (!format || frame->linesize[0] <= 0) {
        return 0;
    }
    int step = format->comp[0].step, bytes = frame->width * step;
    for (int y = 4; y < frame->height; y += 16) {
        uint8_t *row = frame->data[0] + (ptrdiff_t)y * frame->linesize[0];
        for (int x = 0; x + (int)sizeof UNTOUCHED <= bytes; x += 16 * step) {
            if (each(row + x)) {
                return 1;
            }
        }
    }
    return 0;
}

static int mark(uint8_t *place) {
    memcpy(place, UNTOUCHED, sizeof UNTOUCHED);
    return 0;
}

static int is_untouched(uint8_t *place) {
    return memcmp(place, UNTOUCHED, sizeof UNTOUCHED) == 0;
}

static int begin_picture(AVCodecContext *context, AVFrame *frame, int flags) {
    int result = avcodec_default_get_buffer2(context, frame, flags);
    struct ocelli_decoder *decoder = context->opaque;
    /* Others than the first are for those that it refers to and that are missing, which it says. */
    if (result >= 0 && !decoder->begun->buf[0]) {
        for_blocks(frame, mark);
        result = av_frame_ref(decoder->begun, frame);
    }
    return result;
}

struct ocelli_decoder *ocelli_decoder_new(const char *name, int64_t most_pixels) {
    /* By name: another decoder of the system's for the same codec may be one of hardware's. */
    const AVCodec *found = avcodec_find_decoder_by_name(name);
    struct ocelli_decoder *decoder = found ? av_mallocz(sizeof *decoder) : NULL;
    if (!decoder) {
        return NULL;
    }
    av_log_set_callback(ocelli_listen);
    decoder->context = avcodec_alloc_context3(found);
    decoder->packet = av_packet_alloc();
    decoder->frame = av_frame_alloc();
    decoder->begun = av_frame_alloc();
    decoder->plain = av_frame_alloc();
    if (!decoder->context || !decoder->packet || !decoder->frame || !decoder->begun || !decoder->plain) {
        ocelli_decoder_free(decoder);
        return NULL;
    }
    /* One thread: more of them hold pictures back, and each camera has a process of its own. */
    decoder->context->thread_count = 1;
    decoder->context->flags |= AV_CODEC_FLAG_LOW_DELAY;
    decoder->context->max_pixels = most_pixels;
    decoder->context->pkt_timebase = (AVRational){1, AV_TIME_BASE};
    if (strcmp(name, "hevc") == 0) {
        decoder->context->opaque = decoder;
        decoder->context->get_buffer2 = begin_picture;
    }
    if (avcodec_open2(decoder->context, found, NULL) < 0) {
        ocelli_decoder_free(decoder);
        return NULL;
    }
    return decoder;
}

void ocelli_decoder_free(struct ocelli_decoder *decoder) {
    if (!decoder) {
        return;
    }
    sws_freeContext(decoder->plainer);
    av_frame_free(&decoder->plain);
    av_frame_free(&decoder->begun);
    av_frame_free(&decoder->frame);
    av_packet_free(&decoder->packet);
    avcodec_free_context(&decoder->context);
    av_free(decoder);
}

int32_t ocelli_decoder_send(struct ocelli_decoder *decoder, const uint8_t *data, size_t bytes, int64_t tag) {
    if (!data) {
        return avcodec_send_packet(decoder->context, NULL);
    }
    /* Without a buffer of its own: libavcodec makes a copy with the room behind it that its readers need. */
    decoder->packet->data = (uint8_t *)data;
    decoder->packet->size = (int)bytes;
    decoder->packet->pts = tag;
    int result = avcodec_send_packet(decoder->context, decoder->packet);
    decoder->packet->data = NULL;
    decoder->packet->size = 0;
    if (decoder->begun->buf[0]) {
        missing += for_blocks(decoder->begun, is_untouched);
        av_frame_unref(decoder->begun);
    }
    return result;
}

/* The layout of which a format is an 8-bit one, or -1. */
static int layout_of(enum AVPixelFormat format) {
    for (int layout = 0; layout < 4; layout++) {
        if (format == LAYOUTS[layout] || format == FULL_RANGE[layout]) {
            return layout;
        }
    }
    return -1;
}

/* Makes decoder->plain of decoder->frame: 8 bits, colour no coarser than it is, 4:2:2 at the finest. */
static int make_plain(struct ocelli_decoder *decoder, int *layout) {
    AVFrame *from = decoder->frame, *to = decoder->plain;
    const AVPixFmtDescriptor *format = av_pix_fmt_desc_get(from->format);
    if (!format || format->flags & (AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_PAL)) {
        return AVERROR_PATCHWELCOME;
    }
    *layout = format->log2_chroma_h == 0 && format->nb_components > 1 ? 1 : 0;
    if (to->width != from->width || to->height != from->height || to->format != LAYOUTS[*layout]) {
        av_frame_unref(to);
        to->width = from->width;
        to->height = from->height;
        to->format = LAYOUTS[*layout];
        int result = av_frame_get_buffer(to, 0);
        if (result < 0) {
            return result;
        }
        /* What is between the rows is never written, and must not be somebody's memory. */
        for (int i = 0; i < AV_NUM_DATA_POINTERS && to->buf[i]; i++) {
            memset(to->buf[i]->data, 0, to->buf[i]->size);
        }
    }
    decoder->plainer = sws_getCachedContext(decoder->plainer, from->width, from->height, from->format, to->width,
                                            to->height, to->format, SWS_POINT, NULL, NULL, NULL);
    if (!decoder->plainer) {
        return AVERROR(ENOMEM);
    }
    /* No change of range: that is for whoever takes the picture. RGB becomes what it is not: full range. */
    const int *table = sws_getCoefficients(SWS_CS_ITU601);
    int full = (format->flags & AV_PIX_FMT_FLAG_RGB) != 0;
    sws_setColorspaceDetails(decoder->plainer, table, full, table, full, 0, 1 << 16, 1 << 16);
    int rows = sws_scale(decoder->plainer, (const uint8_t *const *)from->data, from->linesize, 0, from->height,
                         to->data, to->linesize);
    return rows == to->height ? 0 : AVERROR_EXTERNAL;
}

int32_t ocelli_decoder_receive(struct ocelli_decoder *decoder, struct ocelli_picture *picture) {
    int result = avcodec_receive_frame(decoder->context, decoder->frame);
    if (result == AVERROR(EAGAIN) || result == AVERROR_EOF) {
        return 0;
    }
    if (result < 0) {
        return result;
    }
    const AVFrame *frame = decoder->frame;
    int layout = layout_of(frame->format);
    const AVFrame *plain = frame;
    if (layout < 0) {
        result = make_plain(decoder, &layout);
        if (result < 0) {
            return result;
        }
        plain = decoder->plain;
    }
    memset(picture, 0, sizeof *picture);
    for (int i = 0; i < (layout == 3 ? 1 : 3); i++) {
        AVBufferRef *buffer = av_frame_get_plane_buffer((AVFrame *)plain, i);
        if (!buffer || plain->linesize[i] <= 0) {
            return AVERROR_EXTERNAL;
        }
        picture->planes[i] = plain->data[i];
        picture->strides[i] = (size_t)plain->linesize[i];
        picture->room[i] = (size_t)(buffer->data + buffer->size - plain->data[i]);
    }
    const AVPixFmtDescriptor *format = av_pix_fmt_desc_get(frame->format);
    picture->width = plain->width;
    picture->height = plain->height;
    picture->layout = layout;
    picture->full_range = frame->color_range == AVCOL_RANGE_JPEG || (format && format->flags & AV_PIX_FMT_FLAG_RGB)
                          || frame->format == AV_PIX_FMT_YUVJ420P || frame->format == AV_PIX_FMT_YUVJ422P
                          || frame->format == AV_PIX_FMT_YUVJ444P;
    picture->matrix = frame->colorspace;
    picture->damaged = frame->decode_error_flags != 0 || (frame->flags & AV_FRAME_FLAG_CORRUPT) != 0;
    picture->tag = frame->pts;
    return 1;
}

void ocelli_decoder_flush(struct ocelli_decoder *decoder) {
    avcodec_flush_buffers(decoder->context);
}

struct SwsContext *ocelli_scaler_new(int32_t from_width, int32_t from_height, int32_t from_layout, int32_t to_width,
                                     int32_t to_height, int32_t to_layout) {
    /* The range stays as it is: grey is taken for full range in any case, so the others must be, too. */
    return sws_getContext(from_width, from_height, FULL_RANGE[from_layout], to_width, to_height, FULL_RANGE[to_layout],
                          SWS_AREA, NULL, NULL, NULL);
}

void ocelli_scaler_free(struct SwsContext *scaler) {
    sws_freeContext(scaler);
}

int32_t ocelli_scaler_run(struct SwsContext *scaler, const uint8_t *const from[3], const size_t from_strides[3],
                          int32_t from_height, uint8_t *const to[3], const size_t to_strides[3]) {
    const uint8_t *planes[4] = {from[0], from[1], from[2], NULL};
    uint8_t *targets[4] = {to[0], to[1], to[2], NULL};
    int strides[4] = {(int)from_strides[0], (int)from_strides[1], (int)from_strides[2], 0};
    int target_strides[4] = {(int)to_strides[0], (int)to_strides[1], (int)to_strides[2], 0};
    return sws_scale(scaler, planes, strides, 0, from_height, targets, target_strides);
}
