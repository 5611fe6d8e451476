# The libraries, each as an imported target pw::NAME: by pkg-config, or from PW_DEPS_DIR (static, for the Windows
# build). A library that is missing leaves its target undefined: who needs it calls pw_need(NAME).
if(NOT PW_DEPS_DIR AND NOT CMAKE_CROSSCOMPILING)
    find_package(PkgConfig REQUIRED)
endif()

function(pw_dep name package archives system_libs)
    if(PW_DEPS_DIR)
        find_library(PW_LIB_${name} NAMES ${archives} PATHS "${PW_DEPS_DIR}/lib" NO_DEFAULT_PATH
                     NO_CMAKE_FIND_ROOT_PATH)
        if(PW_LIB_${name})
            add_library(pw::${name} UNKNOWN IMPORTED GLOBAL)
            set_target_properties(pw::${name} PROPERTIES
                IMPORTED_LOCATION "${PW_LIB_${name}}"
                INTERFACE_INCLUDE_DIRECTORIES "${PW_DEPS_DIR}/include"
                INTERFACE_LINK_LIBRARIES "${system_libs}")
        endif()
    elseif(PkgConfig_FOUND)
        pkg_check_modules(PW_PC_${name} QUIET IMPORTED_TARGET GLOBAL ${package})
        if(PW_PC_${name}_FOUND)
            add_library(pw::${name} ALIAS PkgConfig::PW_PC_${name})
        endif()
    endif()
endfunction()

pw_dep(cjson libcjson "cjson;libcjson" "")
pw_dep(sqlite sqlite3 "sqlite3;libsqlite3" "")
pw_dep(uv libuv "uv_a;uv;libuv_a;libuv" "psapi;user32;advapi32;iphlpapi;userenv;ws2_32")
pw_dep(ssh2 libssh2 "ssh2;libssh2" "")
pw_dep(crypto libcrypto "crypto;libcrypto" "")
pw_dep(cmocka cmocka "cmocka;cmocka-static" "")

# Stop with a sentence when a library is missing.
function(pw_need)
    foreach(name IN LISTS ARGN)
        if(NOT TARGET pw::${name})
            message(FATAL_ERROR "library `${name}` is missing: run tests/install.sh (Debian), or point PW_DEPS_DIR "
                                "at a folder with include/ and lib/ (Windows build); see docs/dependencies.md")
        endif()
    endforeach()
endfunction()
