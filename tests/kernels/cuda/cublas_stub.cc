// A library with the names of cuBLASLt, to be found and not to be called.
#include <cstddef>

extern "C" {
size_t cublasLtGetVersion() {
  return 130002;
}
#define GH_STUB(name) \
  int name() {        \
    return 15;        \
  }
GH_STUB(cublasLtCreate)
GH_STUB(cublasLtDestroy)
GH_STUB(cublasLtMatmulDescCreate)
GH_STUB(cublasLtMatmulDescDestroy)
GH_STUB(cublasLtMatmulDescSetAttribute)
GH_STUB(cublasLtMatrixLayoutCreate)
GH_STUB(cublasLtMatrixLayoutDestroy)
GH_STUB(cublasLtMatmulPreferenceCreate)
GH_STUB(cublasLtMatmulPreferenceDestroy)
GH_STUB(cublasLtMatmulPreferenceSetAttribute)
GH_STUB(cublasLtMatmulAlgoGetHeuristic)
#ifndef GH_STUB_LACKS_MATMUL
GH_STUB(cublasLtMatmul)
#endif
#undef GH_STUB
}
