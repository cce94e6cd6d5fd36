/* An addon with one function, run(): the event loop of the environment turns once, within whatever calls it. Packages
   that make a program wait for a callback do so. Declares what it uses of N-API and libuv: no headers are needed. */

#include <stddef.h>

typedef struct env *napi_env;
typedef struct value *napi_value;
typedef struct info *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env, napi_callback_info);

extern int napi_get_uv_event_loop(napi_env, void **);
extern int napi_create_function(napi_env, const char *, size_t, napi_callback, void *, napi_value *);
extern int napi_set_named_property(napi_env, napi_value, const char *, napi_value);
extern int uv_run(void *, int);

enum { UV_RUN_ONCE = 1 };

static napi_value run(napi_env env, napi_callback_info info) {
  void *loop;
  napi_get_uv_event_loop(env, &loop);
  uv_run(loop, UV_RUN_ONCE);
  return NULL;
}

napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  napi_value function;
  napi_create_function(env, "run", 3, run, NULL, &function);
  napi_set_named_property(env, exports, "run", function);
  return exports;
}
