# Build switches and the warnings every target is built with.
option(PLAIT_TESTS "Build the tests, the simulator and the benchmarks" ON)
option(PLAIT_WERROR "Warnings are errors" ON)
option(PLAIT_ARENA_MALLOC "Each arena allocation is a malloc of its own, so that ASan sees overruns" OFF)
option(PLAIT_FUZZ "Build the libFuzzer targets (clang)" OFF)
set(PLAIT_SANITIZE "" CACHE STRING "Sanitizers, comma separated: address,undefined or thread")
option(PLAIT_COVERAGE "Instrument for line coverage" OFF)

add_library(plait_flags INTERFACE)
target_compile_options(plait_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes
  -Wpointer-arith -Wcast-qual -Wwrite-strings -Wformat=2 -Wundef -Wvla -Wswitch-enum
  -fno-strict-aliasing -fno-common -fstack-protector-strong
  $<$<NOT:$<CONFIG:Release,MinSizeRel>>:-UNDEBUG>) # assertions stay on wherever they can be paid for
target_compile_definitions(plait_flags INTERFACE _GNU_SOURCE PLAIT_VERSION="${PROJECT_VERSION}")
target_include_directories(plait_flags INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
if(PLAIT_WERROR)
  target_compile_options(plait_flags INTERFACE -Werror)
endif()
if(PLAIT_ARENA_MALLOC)
  target_compile_definitions(plait_flags INTERFACE PLAIT_ARENA_MALLOC)
endif()
if(PLAIT_SANITIZE)
  target_compile_options(plait_flags INTERFACE -fsanitize=${PLAIT_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(plait_flags INTERFACE -fsanitize=${PLAIT_SANITIZE})
endif()
if(PLAIT_COVERAGE)
  target_compile_options(plait_flags INTERFACE --coverage -O0)
  target_link_options(plait_flags INTERFACE --coverage)
endif()
if(NOT PLAIT_SANITIZE AND CMAKE_BUILD_TYPE MATCHES "Rel")
  target_compile_definitions(plait_flags INTERFACE _FORTIFY_SOURCE=2)
endif()
target_link_options(plait_flags INTERFACE -Wl,-z,relro,-z,now)
