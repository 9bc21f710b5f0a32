# Machine flags of the rungs, and the function that compiles a file once for each. Installed with the library.
set(INTARSIA_FLAGS_base "")
set(INTARSIA_FLAGS_avx2 -mavx2 -mfma -mf16c -mbmi -mbmi2)
set(INTARSIA_FLAGS_avx512 ${INTARSIA_FLAGS_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512)
set(INTARSIA_FLAGS_avx512bf16 ${INTARSIA_FLAGS_avx512} -mavx512vnni -mavx512bf16 -mprfchw)
# gcc's own AVX-512 header reads variables that it leaves undefined on purpose.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  list(APPEND INTARSIA_FLAGS_avx512 -Wno-uninitialized -Wno-maybe-uninitialized)
  list(APPEND INTARSIA_FLAGS_avx512bf16 -Wno-uninitialized -Wno-maybe-uninitialized)
endif()

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
      target_compile_features(${name} PRIVATE cxx_std_20)
      set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
      target_compile_options(${name} PRIVATE -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math ${INTARSIA_FLAGS_${rung}})
      target_sources(${target} PRIVATE $<TARGET_OBJECTS:${name}>)
    endif()
    foreach(file ${ARGN})
      cmake_path(ABSOLUTE_PATH file BASE_DIRECTORY ${here})
      target_sources(${name} PRIVATE ${file})
    endforeach()
  endforeach()
endfunction()
