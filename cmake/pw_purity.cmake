# What core may include: C's pure standard headers. No stdio, time, locale, signal: doors to the world.
set(PW_PURE_HEADERS assert.h ctype.h errno.h inttypes.h limits.h stdalign.h stdarg.h stdbool.h stddef.h stdint.h
    stdlib.h string.h)

# pw_check_includes(TARGET FOLDERS folder ... [STANDARD header ...]): part of the build of all; fails it when a source
# of TARGET sees a project header outside FOLDERS (not their subfolders), or a system header other than STANDARD
# (PW_PURE_HEADERS unless given). Runs again when the target was built again.
function(pw_check_includes target)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "FOLDERS;STANDARD")
    get_target_property(type ${target} TYPE)
    if(CMAKE_CROSSCOMPILING OR type STREQUAL "INTERFACE_LIBRARY")
        return()
    endif()
    if(NOT arg_STANDARD)
        set(arg_STANDARD ${PW_PURE_HEADERS})
    endif()
    get_target_property(names ${target} SOURCES)
    get_target_property(dir ${target} SOURCE_DIR)
    set(sources)
    foreach(name IN LISTS names)
        cmake_path(ABSOLUTE_PATH name BASE_DIRECTORY "${dir}" NORMALIZE)
        list(APPEND sources "${name}")
    endforeach()
    set(stamp "${CMAKE_BINARY_DIR}/purity/${target}.ok")
    add_custom_command(OUTPUT "${stamp}"
        COMMAND ${CMAKE_COMMAND} "-DNAME=${target}" "-DCC=${CMAKE_C_COMPILER}" "-DROOT=${CMAKE_SOURCE_DIR}"
                "-DSOURCES=${sources}" "-DFOLDERS=${arg_FOLDERS}" "-DSTANDARD=${arg_STANDARD}" "-DSTAMP=${stamp}"
                -P "${CMAKE_SOURCE_DIR}/cmake/check_includes.cmake"
        DEPENDS ${target} "${CMAKE_SOURCE_DIR}/cmake/check_includes.cmake"
        COMMENT "Checking what ${target} includes"
        VERBATIM)
    add_custom_target(purity_${target} ALL DEPENDS "${stamp}")
endfunction()
