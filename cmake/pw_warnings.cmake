# pw_warnings: what every target of the project is compiled with.
add_library(pw_warnings INTERFACE)
target_compile_options(pw_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Werror
    -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
    -Wvla -Wcast-qual -Wcast-align -Wpointer-arith -Wwrite-strings -Wformat=2 -Wundef -Wswitch-enum
    -Wimplicit-fallthrough -Wnull-dereference -Wdouble-promotion -Wredundant-decls
    $<$<C_COMPILER_ID:GNU>:-Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wjump-misses-init>
    -fno-common -fstack-protector-strong)

# pw_instrument: sanitizers, coverage and fuzzing, on the project's targets and on what links them.
add_library(pw_instrument INTERFACE)
if(PW_SANITIZE)
    set(flags -fsanitize=${PW_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_compile_options(pw_instrument INTERFACE ${flags})
    target_link_options(pw_instrument INTERFACE ${flags})
endif()
if(PW_COVERAGE)
    target_compile_options(pw_instrument INTERFACE --coverage -fprofile-abs-path)
    target_link_options(pw_instrument INTERFACE --coverage)
endif()
if(PW_FUZZ)
    # Every input is text: what integers were compared with helps no mutation, and tracing it takes 40 % of the time.
    # Strings are still traced, by the hooks of strcmp and memcmp.
    target_compile_options(pw_instrument INTERFACE -fsanitize=fuzzer-no-link -fno-sanitize-coverage=trace-cmp)
    target_link_options(pw_instrument INTERFACE -fsanitize=fuzzer-no-link)
endif()

# pw_platform: the doors to the operating system. For io and commands, never for core and schema.
add_library(pw_platform INTERFACE)
if(WIN32)
    target_compile_definitions(pw_platform INTERFACE _WIN32_WINNT=0x0A00 WIN32_LEAN_AND_MEAN __USE_MINGW_ANSI_STDIO=1)
    target_link_options(pw_platform INTERFACE -fstack-protector-strong) # its run-time part is a library of its own
else()
    target_compile_definitions(pw_platform INTERFACE _GNU_SOURCE)
endif()
