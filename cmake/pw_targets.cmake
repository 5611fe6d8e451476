# Targets by layer. Sources are named one by one; a target without sources is an empty interface, so that a folder
# can stand before its first file.

# pw_library(NAME SOURCES a.c ... [LIBS target ...]): the part all layers share.
function(pw_library name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBS")
    if(NOT arg_SOURCES)
        add_library(${name} INTERFACE)
        target_link_libraries(${name} INTERFACE ${arg_LIBS})
        return()
    endif()
    add_library(${name} STATIC ${arg_SOURCES})
    target_include_directories(${name} PUBLIC "${CMAKE_SOURCE_DIR}")
    target_link_libraries(${name} PUBLIC ${arg_LIBS} pw_instrument PRIVATE pw_warnings)
endfunction()

# pw_core_library(NAME FOLDER orchestrator/core SOURCES ... [LIBS ...]): pure, and checked to be.
function(pw_core_library name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "FOLDER" "SOURCES;LIBS")
    pw_library(${name} SOURCES ${arg_SOURCES} LIBS schema ${arg_LIBS})
    pw_check_includes(${name} FOLDERS schema ${arg_FOLDER})
endfunction()

# pw_io_library(NAME SOURCES ... [LIBS ...]): may speak to the operating system.
function(pw_io_library name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBS")
    pw_library(${name} SOURCES ${arg_SOURCES} LIBS ${arg_LIBS})
    if(arg_SOURCES)
        target_link_libraries(${name} PRIVATE pw_platform)
    endif()
endfunction()

# pw_program(NAME SOURCES ... [LIBS ...] [INSTALL]): nothing is made while there are no sources.
function(pw_program name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "INSTALL" "" "SOURCES;LIBS")
    if(NOT arg_SOURCES)
        return()
    endif()
    add_executable(${name} ${arg_SOURCES})
    target_include_directories(${name} PRIVATE "${CMAKE_SOURCE_DIR}")
    target_link_libraries(${name} PRIVATE ${arg_LIBS} pw_instrument pw_warnings pw_platform)
    if(arg_INSTALL)
        install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    endif()
endfunction()
