# The library as others see it: one shared and one static library made of the objects that the rooms compiled once,
# headers, a CMake package, a pkg-config file.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(rooms core kernel tensor op nn data text model page train generate)
set(INTARSIA_OBJECTS)
foreach(room ${rooms})
  get_target_property(kind intarsia_${room} TYPE)
  if(kind STREQUAL STATIC_LIBRARY)
    list(APPEND INTARSIA_OBJECTS $<TARGET_OBJECTS:intarsia_${room}>)
  endif()
endforeach()
foreach(rung ${INTARSIA_RUNGS})
  list(APPEND INTARSIA_OBJECTS $<TARGET_OBJECTS:kernels_${rung}>)
endforeach()
set(INTARSIA_LIBRARIES fmt::fmt Threads::Threads OpenSSL::Crypto ZLIB::ZLIB PNG::PNG JPEG::JPEG PkgConfig::libzip
                       PkgConfig::utf8proc PkgConfig::pcre2)

add_library(intarsia_shared SHARED ${INTARSIA_OBJECTS})
add_library(intarsia_static STATIC ${INTARSIA_OBJECTS})
foreach(kind shared static)
  set_target_properties(intarsia_${kind} PROPERTIES OUTPUT_NAME intarsia EXPORT_NAME ${kind} LINKER_LANGUAGE CXX)
  target_include_directories(intarsia_${kind} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(intarsia_${kind} INTERFACE cxx_std_20)
  target_link_libraries(intarsia_${kind} PRIVATE ${INTARSIA_LIBRARIES})
endforeach()
# Only names of intarsia leave the shared library: what it instantiates of other libraries stays its own business.
set(exports ${CMAKE_CURRENT_SOURCE_DIR}/cmake/exports.map)
target_link_options(intarsia_shared PRIVATE -Wl,--version-script=${exports})
if(NOT INTARSIA_SANITIZE)
  target_link_options(intarsia_shared PRIVATE -Wl,--no-undefined)
endif()
set_target_properties(intarsia_shared PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
                      LINK_DEPENDS ${exports})

install(TARGETS intarsia_shared intarsia_static EXPORT intarsia)
install(TARGETS intarsia_cli)
install(DIRECTORY include/intarsia DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES LICENSE README.md docs/embedding.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/intarsia)
install(EXPORT intarsia NAMESPACE intarsia:: FILE intarsiaTargets.cmake DESTINATION ${package})
configure_package_config_file(cmake/intarsiaConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/intarsiaConfig.cmake
                              INSTALL_DESTINATION ${package})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/intarsiaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/intarsiaConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/intarsiaConfigVersion.cmake
              cmake/intarsia_add_kernels.cmake DESTINATION ${package})
configure_file(cmake/intarsia.pc.in ${CMAKE_CURRENT_BINARY_DIR}/intarsia.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/intarsia.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
