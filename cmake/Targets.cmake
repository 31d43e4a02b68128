# guildhall_library(NAME SOURCES ... LIBRARIES ...): one folder = one static library, with our warnings as errors.
# guildhall_program(NAME SOURCES ... LIBRARIES ...): a program with a back end, and where a CUDA toolkit is, the same one with
# CUDA as NAME_cuda beside it: the other objects are compiled once for both. With GUILDHALL_CUDA, NAME has it itself.
# guildhall_test(NAME [EMULATED | EMULATED_CASES | ON_DEVICE] [CHECKED] SOURCES ... LIBRARIES ...): one Catch2 program; every
# TEST_CASE is a ctest of its own. EMULATED: NAME has the CUDA back end over emulated devices. EMULATED_CASES: that, and all cases
# but those tagged [cpu] run a second time, over the emulated device (label cuda; of those tagged [long], cuda-long). ON_DEVICE:
# that, and where a CUDA toolkit is, NAME_cuda runs the cases on a real one (scripts/gpu-check).
# CHECKED: they also run in the checking mode (ctest -L cuda-checked), and with threads and blocks in several orders, which
# must give the same bits (ctest -L cuda-order).
add_library(guildhall_options INTERFACE)
target_include_directories(guildhall_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(guildhall_options INTERFACE
  $<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:-Wall -Wextra -Wshadow -Wconversion -Werror -fno-math-errno>
  "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Werror all-warnings>"
  $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wshadow,-Wconversion,-Werror>)
# GCC 12 sees overlapping copies in std::string's operator+ where there are none (its bug 105651).
target_compile_options(guildhall_options INTERFACE
  $<$<AND:$<COMPILE_LANG_AND_ID:CXX,GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>)
# Kernels state every fused multiply-add themselves: the compiler may not add some of its own in one loop and not in
# another, or two tile heights would round differently.
target_compile_options(guildhall_options INTERFACE $<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:-ffp-contract=off>)
if(GUILDHALL_SANITIZE)
  list(JOIN GUILDHALL_SANITIZE "," _sanitizers)
  add_compile_options(-fsanitize=${_sanitizers} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${_sanitizers})
  # Instrumented code makes GCC see uninitialized members in std::function and std::regex.
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
endif()
# All code tells libFuzzer where it has been (scripts/fuzz).
option(GUILDHALL_LIBFUZZER "link the fuzz entries with libFuzzer (clang)" OFF)
if(GUILDHALL_LIBFUZZER)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
# Of one test, in seconds: only what hangs comes near. Instrumented code takes up to twenty times as long.
set(GUILDHALL_TEST_TIMEOUT 900)
if(GUILDHALL_SANITIZE)
  set(GUILDHALL_TEST_TIMEOUT 5400)
endif()

function(guildhall_library NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_library(${NAME} STATIC ${ARG_SOURCES})
  target_link_libraries(${NAME} PUBLIC ${ARG_LIBRARIES} PRIVATE guildhall_options)
  target_include_directories(${NAME} PUBLIC ${CMAKE_SOURCE_DIR})
endfunction()

# What goes to machines with a device (scripts/gpu-check) finds libraries beside itself, and so do those.
function(guildhall_portable NAME)
  set_target_properties(${NAME} PROPERTIES BUILD_RPATH "$ORIGIN/../lib")
  target_link_options(${NAME} PRIVATE -Wl,--disable-new-dtags)
endfunction()

function(guildhall_program NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${NAME} ${ARG_SOURCES})
  target_link_libraries(${NAME} PRIVATE ${ARG_LIBRARIES} guildhall_options)
  if(GUILDHALL_CUDA)
    target_link_libraries(${NAME} PRIVATE gh_cuda)
    return()
  endif()
  target_link_libraries(${NAME} PRIVATE gh_cuda_absent)
  if(TARGET gh_cuda)
    add_executable(${NAME}_cuda ${ARG_SOURCES})
    target_link_libraries(${NAME}_cuda PRIVATE ${ARG_LIBRARIES} gh_cuda guildhall_options)
    guildhall_portable(${NAME}_cuda)
  endif()
endfunction()

# Cases of an EMULATED program, chosen by Catch2's words, over the emulated device.
function(guildhall_emulated_cases NAME SPEC LABEL)
  catch_discover_tests(${NAME} TEST_SPEC "${SPEC}" TEST_PREFIX "cuda: ${NAME}: " EXTRA_ARGS --warn NoTests
                       PROPERTIES TIMEOUT ${GUILDHALL_TEST_TIMEOUT} LABELS ${LABEL} ENVIRONMENT GUILDHALL_TEST_DEVICE=cuda)
endfunction()

# And in the checking mode, by a program of its own.
function(guildhall_checked_cases NAME SPEC)
  if(NOT TARGET gh_cuda_checked)
    return()
  endif()
  add_executable(${NAME}_checked)
  target_link_libraries(${NAME}_checked PRIVATE ${NAME}_objects gh_cuda_checked)
  catch_discover_tests(${NAME}_checked TEST_SPEC "${SPEC}" TEST_PREFIX "cuda-checked: ${NAME}: " EXTRA_ARGS --warn NoTests
                       PROPERTIES TIMEOUT ${GUILDHALL_TEST_TIMEOUT} LABELS cuda-checked
                       ENVIRONMENT GUILDHALL_TEST_DEVICE=cuda ENVIRONMENT_MODIFICATION EMULATED_CUDA_ORDER=set:shuffled)
endfunction()

function(guildhall_test NAME)
  cmake_parse_arguments(ARG "EMULATED;EMULATED_CASES;ON_DEVICE;CHECKED" "" "SOURCES;LIBRARIES" ${ARGN})
  add_library(${NAME}_objects OBJECT ${ARG_SOURCES})
  target_link_libraries(${NAME}_objects PUBLIC ${ARG_LIBRARIES} guildhall_options test_main)
  target_compile_definitions(${NAME}_objects PRIVATE GUILDHALL_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                                     GUILDHALL_BINARY_DIR="${CMAKE_BINARY_DIR}")
  set(_cuda gh_cuda_absent)
  if(ARG_EMULATED OR ARG_EMULATED_CASES OR ARG_ON_DEVICE)
    set(_cuda gh_cuda_emulated)
  endif()
  add_executable(${NAME})
  target_link_libraries(${NAME} PRIVATE ${NAME}_objects ${_cuda})
  if(ARG_ON_DEVICE AND TARGET gh_cuda)
    add_executable(${NAME}_cuda)
    target_link_libraries(${NAME}_cuda PRIVATE ${NAME}_objects gh_cuda)
    guildhall_portable(${NAME}_cuda)
  endif()
  # A name that matches no test case is a failure: CMake cuts names at semicolons and brackets.
  catch_discover_tests(${NAME} TEST_PREFIX "${NAME}: " EXTRA_ARGS --warn NoTests
                       PROPERTIES TIMEOUT ${GUILDHALL_TEST_TIMEOUT})
  if(ARG_EMULATED_CASES OR ARG_ON_DEVICE)
    guildhall_emulated_cases(${NAME} "~[cpu]~[long]" cuda)
    guildhall_emulated_cases(${NAME} "~[cpu][long]" cuda-long)
  endif()
  if(ARG_CHECKED AND TARGET gh_cuda_checked)
    guildhall_checked_cases(${NAME} "~[cpu]")
    find_package(Python3 3.10 REQUIRED COMPONENTS Interpreter)
    add_test(NAME "cuda-order: ${NAME}"
      COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_SOURCE_DIR}/tests/cuda_emulation/orders_test.py $<TARGET_FILE:${NAME}>)
    set_tests_properties("cuda-order: ${NAME}" PROPERTIES LABELS cuda-order TIMEOUT ${GUILDHALL_TEST_TIMEOUT})
  endif()
endfunction()
