# The CUDA toolkit, where there is one: enables the language and makes the target `cudart`. It is nvcc of, in this order,
# -DCMAKE_CUDA_COMPILER, the variable CUDACXX, build/cuda-toolkit (scripts/setup --cuda); with GUILDHALL_CUDA also of PATH.
option(GUILDHALL_CUDA "the program computes on CUDA devices, too; needs a toolkit" OFF)

set(_nvcc ${CMAKE_CUDA_COMPILER})
if(NOT _nvcc AND DEFINED ENV{CUDACXX})
  set(_nvcc $ENV{CUDACXX})
endif()
if(NOT _nvcc AND EXISTS ${CMAKE_SOURCE_DIR}/build/cuda-toolkit/root/bin/nvcc)
  set(_nvcc ${CMAKE_SOURCE_DIR}/build/cuda-toolkit/root/bin/nvcc)
endif()
if(NOT _nvcc AND GUILDHALL_CUDA)
  find_program(_nvcc_of_path nvcc NO_CACHE)
  if(NOT _nvcc_of_path)
    message(FATAL_ERROR "GUILDHALL_CUDA needs nvcc 13.0 or newer, found none in CUDACXX, build/cuda-toolkit or PATH. "
                        "scripts/setup --cuda fetches it.")
  endif()
  set(_nvcc ${_nvcc_of_path})
endif()
# Sanitizers instrument the emulated kernels; what nvcc compiles would bring nothing there.
if(NOT _nvcc OR GUILDHALL_SANITIZE)
  return()
endif()
set(CMAKE_CUDA_COMPILER ${_nvcc})

get_filename_component(GUILDHALL_CUDA_ROOT ${_nvcc} DIRECTORY)
get_filename_component(GUILDHALL_CUDA_ROOT ${GUILDHALL_CUDA_ROOT} DIRECTORY)
find_library(_cudart libcudart_static.a NO_DEFAULT_PATH NO_CACHE REQUIRED
  HINTS ${GUILDHALL_CUDA_ROOT} PATH_SUFFIXES lib64 lib targets/x86_64-linux/lib lib/x86_64-linux-gnu)
get_filename_component(_cudart_folder ${_cudart} DIRECTORY)

# CMake 3.25 does not know the standard's flag of this nvcc, and nvcc looks for its runtime in lib64 alone, where the wheels
# have lib; so both are said by hand, and find_package(CUDAToolkit), which a toolkit of wheels fails, is not asked.
set(CMAKE_CUDA_FLAGS_INIT "-std=c++20 -L${_cudart_folder}")
set(CMAKE_CUDA_ARCHITECTURES 80-real 90a-real 90-virtual)
set(CMAKE_CUDA_RUNTIME_LIBRARY None)
enable_language(CUDA)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 13.0)
  message(FATAL_ERROR "the CUDA back end needs nvcc 13.0 or newer, found ${CMAKE_CUDA_COMPILER_VERSION} at ${_nvcc}. "
                      "scripts/setup --cuda fetches it.")
endif()

# The project's standard is asked of this language, too.
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")

add_library(cudart STATIC IMPORTED)
set_target_properties(cudart PROPERTIES IMPORTED_LOCATION ${_cudart} INTERFACE_LINK_LIBRARIES "dl;rt;Threads::Threads")
target_include_directories(cudart SYSTEM INTERFACE ${GUILDHALL_CUDA_ROOT}/include)
