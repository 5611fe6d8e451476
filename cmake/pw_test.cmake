# The compiler does not know that cmocka's assertions do not return.
add_library(pw_test_warnings INTERFACE)
target_compile_options(pw_test_warnings INTERFACE -Wno-null-dereference)

# pw_test(NAME SUITE source.c ... [LIBS target ...] [ALSO label ...] [TIMEOUT seconds] [ARGS ...])
# A cmocka program as one ctest test. Its label is its suite: unit, scenarios, conformance, live, torture, sim,
# powershell, windows, fuzz. `ALSO asan` has the sanitizer build run it too (unit and scenarios are run there anyway).
function(pw_test name suite)
    cmake_parse_arguments(PARSE_ARGV 2 arg "" "TIMEOUT" "LIBS;ALSO;ARGS")
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    pw_need(cmocka)
    add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
    target_include_directories(${name} PRIVATE "${CMAKE_SOURCE_DIR}")
    target_link_libraries(${name} PRIVATE ${arg_LIBS} pw::cmocka pw_instrument pw_warnings pw_test_warnings
                          pw_platform)
    add_test(NAME ${name} COMMAND ${name} ${arg_ARGS} WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
    set_tests_properties(${name} PROPERTIES
        LABELS "${suite};${arg_ALSO}"
        TIMEOUT ${arg_TIMEOUT}
        ENVIRONMENT "CMOCKA_MESSAGE_OUTPUT=TAP;PW_BUILD_DIR=${CMAKE_BINARY_DIR}")
endfunction()

# pw_test_script(NAME SUITE script.sh ... [ALSO label ...] [TIMEOUT seconds]): a script that prints TAP and exits
# non-zero when a case failed; further words are its arguments.
function(pw_test_script name suite)
    cmake_parse_arguments(PARSE_ARGV 2 arg "" "TIMEOUT" "ALSO")
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    list(POP_FRONT arg_UNPARSED_ARGUMENTS script)
    add_test(NAME ${name} COMMAND bash "${CMAKE_CURRENT_SOURCE_DIR}/${script}" ${arg_UNPARSED_ARGUMENTS}
             WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
    set_tests_properties(${name} PROPERTIES
        LABELS "${suite};${arg_ALSO}"
        TIMEOUT ${arg_TIMEOUT}
        ENVIRONMENT "PW_BUILD_DIR=${CMAKE_BINARY_DIR}")
endfunction()
