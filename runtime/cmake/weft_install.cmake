# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts down: libraries, headers, the weft command, CMake and pkg-config files. All of it
# can be moved: no file names the prefix.
include(CMakePackageConfigHelpers)

set(weft_installed weft)
if(TARGET weft-shim)
    list(APPEND weft_installed weft-shim)
endif()
install(TARGETS ${weft_installed} EXPORT weftTargets FILE_SET HEADERS)
if(TARGET weft-cli)
    install(TARGETS weft-cli)
endif()

set(weft_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/weft")
install(EXPORT weftTargets NAMESPACE weft:: DESTINATION "${weft_cmake_dir}")
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/weftConfig.cmake.in" "${PROJECT_BINARY_DIR}/weftConfig.cmake"
    INSTALL_DESTINATION "${weft_cmake_dir}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/weftConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/weftConfig.cmake" "${PROJECT_BINARY_DIR}/weftConfigVersion.cmake"
    DESTINATION "${weft_cmake_dir}")

cmake_path(APPEND CMAKE_INSTALL_FULL_LIBDIR pkgconfig OUTPUT_VARIABLE weft_pc_dir)
file(RELATIVE_PATH weft_prefix_from_pc "${weft_pc_dir}" "${CMAKE_INSTALL_PREFIX}")
string(REGEX REPLACE "/$" "" weft_prefix_from_pc "${weft_prefix_from_pc}")
cmake_path(APPEND weft_pc_prefix "\${prefix}" "${CMAKE_INSTALL_LIBDIR}" OUTPUT_VARIABLE weft_pc_libdir)
cmake_path(APPEND weft_pc_prefix "\${prefix}" "${CMAKE_INSTALL_INCLUDEDIR}" OUTPUT_VARIABLE weft_pc_includedir)
foreach(target IN LISTS weft_installed)
    configure_file("${CMAKE_CURRENT_LIST_DIR}/${target}.pc.in" "${PROJECT_BINARY_DIR}/${target}.pc" @ONLY)
    install(FILES "${PROJECT_BINARY_DIR}/${target}.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endforeach()
