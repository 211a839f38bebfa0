//! JPEG encoding of pictures that Ocelli makes or captures raw, and the drawing of notices.
