/* What of FFmpeg's libraries is used, in few functions with plain arguments, so that nothing depends on how the
 * structures of this or that release are laid out. Everything is used from one thread. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* A picture in memory of the decoder's, until the next call for that decoder. */
struct ocelli_picture {
    const uint8_t *planes[3];
    size_t strides[3];
    size_t room[3];      /* bytes from planes[i] to the end of what was allocated */
    int32_t width;
    int32_t height;
    int32_t layout;      /* 0 4:2:0, 1 4:2:2, 2 4:4:4, 3 grey */
    int32_t full_range;
    int32_t matrix;      /* Rec. ITU-T H.273, MatrixCoefficients */
    int32_t damaged;     /* something of it was missing and has been made up */
    int64_t tag;         /* what was given with its packet */
};

struct ocelli_decoder;

/* name: as FFmpeg has it. NULL where there is no such decoder, it does not work here, or there is no memory. */
struct ocelli_decoder *ocelli_decoder_new(const char *name, int64_t most_pixels);
void ocelli_decoder_free(struct ocelli_decoder *decoder);
/* Gives one access unit in Annex B. 0, or an error of FFmpeg's. NULL: no more are coming. */
int32_t ocelli_decoder_send(struct ocelli_decoder *decoder, const uint8_t *data, size_t bytes, int64_t tag);
/* 1 with a picture, 0 without one, or an error of FFmpeg's. */
int32_t ocelli_decoder_receive(struct ocelli_decoder *decoder, struct ocelli_picture *picture);
/* Forgets all pictures. */
void ocelli_decoder_flush(struct ocelli_decoder *decoder);
/* How often a picture was missing to which another one refers, which not every release says of the other one, or something of one
 * was not decoded. */
uint32_t ocelli_decoder_missing(void);
/* An error of FFmpeg's, in words. */
void ocelli_words(int32_t error, char *words, size_t room);
/* The release of libavcodec that runs: major, minor and micro, the last two of 8 bits. */
uint32_t ocelli_libavcodec(void);

/* What FFmpeg's libraries say comes here, from decoders and encoders alike. */
void ocelli_listen(void *from, int level, const char *format, va_list rest);
/* And from here to encode.c, which keeps why an encoder fails. */
void ocelli_encoder_heard(int level, const char *format, va_list rest);

struct SwsContext;

/* Layouts as above. NULL where the library will not. */
struct SwsContext *ocelli_scaler_new(int32_t from_width, int32_t from_height, int32_t from_layout, int32_t to_width,
                                     int32_t to_height, int32_t to_layout);
void ocelli_scaler_free(struct SwsContext *scaler);
int32_t ocelli_scaler_run(struct SwsContext *scaler, const uint8_t *const from[3], const size_t from_strides[3],
                          int32_t from_height, uint8_t *const to[3], const size_t to_strides[3]);
