# Rungs: the instruction sets that kernel files are compiled for. amx_emulated is amx with its instructions in C.
set(INTARSIA_RUNGS base avx2 avx512 avx512bf16 amx_emulated amx)
include(cmake/intarsia_add_kernels.cmake)
# Files that a rung compiles; the lower rungs fill the other slots.
set(INTARSIA_KERNELS_avx512bf16 product attention measure convolution)
set(INTARSIA_KERNELS_amx product measure)
set(INTARSIA_KERNELS_amx_emulated product)

# Without INTARSIA_SANITIZE_KERNELS the kernels have no flag of the sanitizers at all: they are the release's objects,
# which ccache has. With it they are optimized less: in full, an instrumented kernel takes minutes to compile.
function(intarsia_kernel_sanitizers target)
  if(INTARSIA_SANITIZE)
    get_target_property(options ${target} COMPILE_OPTIONS)
    if(INTARSIA_SANITIZE_KERNELS)
      list(TRANSFORM options REPLACE "^-O3$" "-O1")
    else()
      string(REPLACE "${INTARSIA_SANITIZER_FLAGS}" "" options "${options}")
    endif()
    set_target_properties(${target} PROPERTIES COMPILE_OPTIONS "${options}")
  endif()
endfunction()

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
    intarsia_kernel_sanitizers(kernels_${rung})
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:kernels_${rung}>)
  endforeach()
endfunction()
