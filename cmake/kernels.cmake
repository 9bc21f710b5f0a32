# Rungs: the instruction sets that kernel files are compiled for, lowest first, with their machine flags.
set(INTARSIA_RUNGS base avx2 avx512 avx512bf16)
set(INTARSIA_FLAGS_base "")
set(INTARSIA_FLAGS_avx2 -mavx2 -mfma -mf16c -mbmi -mbmi2)
set(INTARSIA_FLAGS_avx512 ${INTARSIA_FLAGS_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512)
set(INTARSIA_FLAGS_avx512bf16 ${INTARSIA_FLAGS_avx512} -mavx512vnni -mavx512bf16 -mprfchw)
# gcc's own AVX-512 header reads variables that it leaves undefined on purpose.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  list(APPEND INTARSIA_FLAGS_avx512 -Wno-uninitialized -Wno-maybe-uninitialized)
  list(APPEND INTARSIA_FLAGS_avx512bf16 -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
# Files that a rung compiles; the lower rungs fill the other slots.
set(INTARSIA_KERNELS_avx512bf16 product attention measure convolution)

# Compiles the files of src/kernel/cpu once per rung and adds the objects to `target`.
function(intarsia_add_rungs target)
  foreach(rung ${INTARSIA_RUNGS})
    if(DEFINED INTARSIA_KERNELS_${rung})
      list(TRANSFORM INTARSIA_KERNELS_${rung} REPLACE "(.+)" "${CMAKE_CURRENT_SOURCE_DIR}/src/kernel/cpu/\\1.cpp" OUTPUT_VARIABLE sources)
    else()
      file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/kernel/cpu/*.cpp)
    endif()
    add_library(kernels_${rung} OBJECT ${sources})
    target_include_directories(kernels_${rung} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/include ${CMAKE_CURRENT_SOURCE_DIR}/src)
    target_compile_definitions(kernels_${rung} PRIVATE INTARSIA_RUNG=${rung})
    target_compile_options(kernels_${rung} PRIVATE -O3 -fno-exceptions -fno-rtti -fno-math-errno -fno-trapping-math
                           -fno-asynchronous-unwind-tables ${INTARSIA_FLAGS_${rung}})
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:kernels_${rung}>)
  endforeach()
endfunction()

# Compiles a file of INTARSIA_KERNEL lines (include/intarsia/lambda_kernel.h) once per rung into `target`:
#   intarsia_add_kernels(my_program quick_gelu.cpp)
# INTARSIA_DECLARE_KERNEL(quick_gelu) then gives the program a function that picks the active rung's kernels; map.h
# shows both.
function(intarsia_add_kernels target)
  get_target_property(here ${target} SOURCE_DIR)
  foreach(rung base avx2 avx512)
    set(name ${target}_kernels_${rung})
    if(NOT TARGET ${name})
      add_library(${name} OBJECT)
      target_include_directories(${name} PRIVATE $<TARGET_PROPERTY:${target},INCLUDE_DIRECTORIES>)
      target_compile_definitions(${name} PRIVATE INTARSIA_RUNG=${rung})
      target_compile_options(${name} PRIVATE -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math ${INTARSIA_FLAGS_${rung}})
      target_sources(${target} PRIVATE $<TARGET_OBJECTS:${name}>)
    endif()
    foreach(file ${ARGN})
      cmake_path(ABSOLUTE_PATH file BASE_DIRECTORY ${here})
      target_sources(${name} PRIVATE ${file})
    endforeach()
  endforeach()
endfunction()
