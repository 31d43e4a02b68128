// The C interface of the Rust library (server/http/rust/src): HTTP/1.1 and HTTP/2 on connections that
// it is given. Only server/http/ includes this. No panic crosses. Text is pointer and size. What is
// called back is called on threads of the library, which it must not keep waiting.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gh_http_server gh_http_server;
// One request, with its answer. Held from on_request to gh_http_end.
typedef struct gh_http_call gh_http_call;

typedef struct gh_http_text {
  const uint8_t* data;
  size_t size;
} gh_http_text;

typedef struct gh_http_header {
  gh_http_text name;  // in lower case
  gh_http_text value;
} gh_http_header;

// What was wrong with a request before it was whole; its body is empty then.
enum {
  kGhHttpWell = 0,
  kGhHttpBodyTooLarge = 1,
  kGhHttpBodyTooSlow = 2,
  kGhHttpBodyBroken = 3,
  kGhHttpNoMemory = 4,  // memory_bytes are in use
  kGhHttpHeadersTooLarge = 5,
};

typedef struct gh_http_request {
  gh_http_text peer;  // as gh_http_serve was told
  int32_t problem;
  gh_http_text method;
  gh_http_text path;  // percent-encoded, without the query
  const gh_http_header* headers;
  size_t header_count;
  gh_http_text body;
} gh_http_request;

typedef struct gh_http_options {
  uint32_t threads;
  uint32_t streams;           // of one HTTP/2 connection
  uint64_t header_bytes;      // of one request; not below 8192
  uint64_t body_bytes;        // of one request
  uint64_t memory_bytes;      // of all bodies, and of answers that are given as a whole
  uint64_t header_ms;         // until a request's headers are there, those of the handshake included
  uint64_t body_ms;           // until its body is there
  uint64_t idle_ms;           // of a connection without requests
  uint64_t stall_ms;          // of a connection that takes nothing
  uint64_t ping_ms;           // between pings of HTTP/2
  gh_http_text certificates;  // PEM; empty: no TLS
  gh_http_text key;
  gh_http_text client_ca;  // empty: clients need no certificate
  void* context;           // of on_request
  // The request and what it points to live until it returns.
  void (*on_request)(void* context, gh_http_call* call, const gh_http_request* request);
} gh_http_options;

// Null on failure, with the reason as a C string in `error`. The process ignores SIGPIPE from then on.
gh_http_server* gh_http_start(const gh_http_options* options, char* error, size_t error_size);
// Owns the socket from then on; it is shut down before it is closed.
void gh_http_serve(gh_http_server* server, int fd, bool unix_socket, gh_http_text peer);
// Idle connections end now, others behind the answers that are open, and so do those that come.
void gh_http_drain(gh_http_server* server);
// Ends what is left. Nothing is called back afterwards; calls that are held can be ended as ever.
void gh_http_free(gh_http_server* server);

// `gone` is called once, also from inside, when the client has left or gh_http_cancel was called, unless
// gh_http_end came first; it is not running any more when that returns. Called once, before all others.
void gh_http_watch(gh_http_call* call, void (*gone)(void* context), void* context);
// The head of the answer, once. With `more`, gh_http_write gives the body, and `body` is what is sent while
// nothing else is, every `filler_ms` (0: never). Without, `body` is all of it.
void gh_http_respond(gh_http_call* call, uint16_t status, const gh_http_header* headers, size_t header_count,
                     gh_http_text body, bool more, uint64_t filler_ms);
// The next piece of the body, one at a time. `taken` is called once, also from inside, when the
// connection has taken it; false: the client is gone.
void gh_http_write(gh_http_call* call, gh_http_text data, void (*taken)(void* context, bool ok),
                   void* context);
// Breaks the connection off with all its calls, soon and on another thread: what is being written is
// not taken.
void gh_http_cancel(gh_http_call* call);
// The end of the answer, and of the handle. Without an answer,
// or where it is not `complete`, the client sees a broken one.
void gh_http_end(gh_http_call* call, bool complete);

#ifdef __cplusplus
}  // extern "C"
#endif
