/* H.264 by whatever encoder of libavcodec is named: what `ffi.rs` calls. Pictures are 4:2:0, eight bits.
 *
 * Functions that can fail return less than 0, which `ocelli_encoder_words` puts into words. */

#include "shim.h"

#include <libavcodec/avcodec.h>
#include <libavutil/frame.h>
#include <libavutil/log.h>
#include <libavutil/opt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Has the layout of `Rates` in ffi.rs. */
struct ocelli_rates {
    int64_t bit_rate;
    int64_t max_rate;
    int buffer_size;
    float rate_factor; /* less than 0: none */
};

struct ocelli_encoder {
    AVCodecContext *context;
    AVFrame *frame;
    AVPacket *packet;
};

/* The first complaint while an encoder is at work: what follows it is mostly a consequence. */
static _Thread_local char complaint[256];
static _Thread_local int at_work;

void ocelli_encoder_heard(int level, const char *format, va_list rest) {
    if (at_work && level <= AV_LOG_ERROR && complaint[0] == 0) {
        vsnprintf(complaint, sizeof complaint, format, rest);
        complaint[strcspn(complaint, "\r\n")] = 0;
    }
}

/* What was complained of before, without harm, says nothing of what comes. */
static void begin_work(void) {
    complaint[0] = 0;
    at_work = 1;
}

void ocelli_encoder_words(int error, char *words, size_t size) {
    if (complaint[0] != 0) {
        snprintf(words, size, "%s", complaint);
    } else if (av_strerror(error, words, size) < 0) {
        snprintf(words, size, "error %d", error);
    }
    complaint[0] = 0;
}

void ocelli_encoder_close(struct ocelli_encoder *encoder) {
    av_packet_free(&encoder->packet);
    av_frame_free(&encoder->frame);
    avcodec_free_context(&encoder->context);
    free(encoder);
}

/* How many bits are spent, from the next picture on. Not every encoder looks there again once it is open. */
void ocelli_encoder_spend(struct ocelli_encoder *encoder, const struct ocelli_rates *rates) {
    encoder->context->bit_rate = rates->bit_rate;
    encoder->context->rc_max_rate = rates->max_rate;
    encoder->context->rc_buffer_size = rates->buffer_size;
    if (rates->rate_factor >= 0) {
        av_opt_set_double(encoder->context->priv_data, "crf", rates->rate_factor, 0);
    }
}

/* `rate` is in pictures in 1000 s; `matrix` as of a picture; `options` are names, each followed by its value, and NULL. An option that the encoder
 * does not know is ignored. */
int ocelli_encoder_open(struct ocelli_encoder **opened, const char *name, int width, int height, int rate,
                        int matrix, const struct ocelli_rates *rates, const char *const *options) {
    av_log_set_callback(ocelli_listen);
    const AVCodec *codec = avcodec_find_encoder_by_name(name);
    complaint[0] = 0;
    if (codec == NULL) {
        return AVERROR_ENCODER_NOT_FOUND;
    }
    struct ocelli_encoder *encoder = calloc(1, sizeof *encoder);
    if (encoder == NULL) {
        return AVERROR(ENOMEM);
    }
    encoder->context = avcodec_alloc_context3(codec);
    encoder->frame = av_frame_alloc();
    encoder->packet = av_packet_alloc();
    int result = AVERROR(ENOMEM);
    AVDictionary *dictionary = NULL;
    if (encoder->context == NULL || encoder->frame == NULL || encoder->packet == NULL) {
        goto failed;
    }
    AVCodecContext *context = encoder->context;
    context->pix_fmt = AV_PIX_FMT_YUV420P;
    context->width = width;
    context->height = height;
    context->time_base = (AVRational){1000, rate};
    context->framerate = (AVRational){rate, 1000};
    context->max_b_frames = 0;
    context->thread_count = 1;
    context->color_range = AVCOL_RANGE_MPEG;
    context->colorspace = matrix;
    /* JPEG's colours are those of a screen. */
    context->color_primaries = AVCOL_PRI_BT709;
    context->color_trc = AVCOL_TRC_IEC61966_2_1;
    ocelli_encoder_spend(encoder, rates);
    for (; options[0] != NULL; options += 2) {
        result = av_dict_set(&dictionary, options[0], options[1], 0);
        if (result < 0) {
            goto failed;
        }
    }
    begin_work();
    result = avcodec_open2(context, codec, &dictionary);
    at_work = 0;
    if (result < 0) {
        goto failed;
    }
    av_dict_free(&dictionary);
    *opened = encoder;
    return 0;
failed:
    av_dict_free(&dictionary);
    ocelli_encoder_close(encoder);
    return result;
}

/* Memory for the next picture, in which there is some other. */
int ocelli_encoder_picture(struct ocelli_encoder *encoder, uint8_t *planes[3], int strides[3]) {
    complaint[0] = 0;
    AVFrame *frame = encoder->frame;
    if (frame->buf[0] == NULL || !av_frame_is_writable(frame)) {
        av_frame_unref(frame);
        frame->format = encoder->context->pix_fmt;
        frame->width = encoder->context->width;
        frame->height = encoder->context->height;
        int result = av_frame_get_buffer(frame, 0);
        if (result < 0) {
            return result;
        }
        for (int plane = 0; plane < 3; plane++) {
            int rows = plane == 0 ? frame->height : (frame->height + 1) / 2;
            memset(frame->data[plane], 128, (size_t)frame->linesize[plane] * rows);
        }
    }
    for (int plane = 0; plane < 3; plane++) {
        planes[plane] = frame->data[plane];
        strides[plane] = frame->linesize[plane];
    }
    return 0;
}

/* Codes what `ocelli_encoder_picture` gave memory for. 1 if it was taken, 0 if something must be received before. */
int ocelli_encoder_send(struct ocelli_encoder *encoder, int64_t tick, int key) {
    encoder->frame->pts = tick;
    encoder->frame->pict_type = key ? AV_PICTURE_TYPE_I : AV_PICTURE_TYPE_NONE;
    begin_work();
    int result = avcodec_send_frame(encoder->context, encoder->frame);
    at_work = 0;
    return result == AVERROR(EAGAIN) ? 0 : result < 0 ? result : 1;
}

/* No picture follows. */
int ocelli_encoder_drain(struct ocelli_encoder *encoder) {
    begin_work();
    int result = avcodec_send_frame(encoder->context, NULL);
    at_work = 0;
    return result;
}

/* 1 with a coded picture, which lasts until the next call; 0 if there is none yet. */
int ocelli_encoder_receive(struct ocelli_encoder *encoder, int64_t *tick, const uint8_t **data, size_t *size) {
    begin_work();
    int result = avcodec_receive_packet(encoder->context, encoder->packet);
    at_work = 0;
    if (result == AVERROR(EAGAIN) || result == AVERROR_EOF) {
        return 0;
    }
    if (result < 0) {
        return result;
    }
    *tick = encoder->packet->pts;
    *data = encoder->packet->data;
    *size = encoder->packet->size;
    return 1;
}
