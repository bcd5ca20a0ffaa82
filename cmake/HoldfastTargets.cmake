# The three kinds of target Holdfast has, with one set of compiler options for all.

include(GoogleTest)
find_package(CLI11 REQUIRED)
find_package(GTest REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

# What is installed, and nothing else: a demo needs no tests. `fakes` is the servers that the lab's cloud
# is made of; `all` has the tests and benches too.
add_custom_target(product)
add_custom_target(fakes)

add_library(holdfast_options INTERFACE)
target_include_directories(holdfast_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(holdfast_options INTERFACE
  _GNU_SOURCE HOLDFAST_VERSION="${PROJECT_VERSION}" HOLDFAST_LIBEXEC="${CMAKE_INSTALL_FULL_LIBEXECDIR}/holdfast")
target_compile_options(holdfast_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers>
  $<$<AND:$<BOOL:${HOLDFAST_WERROR}>,$<COMPILE_LANGUAGE:CXX>>:-Werror>
  -fstack-protector-strong)
if(HOLDFAST_SANITIZE)
  target_compile_options(holdfast_options INTERFACE
    -fsanitize=${HOLDFAST_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(holdfast_options INTERFACE -fsanitize=${HOLDFAST_SANITIZE})
endif()

# holdfast_add_library(NAME SOURCES file... [LIBS target...])
function(holdfast_add_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  # Most of a file's compiling is headers, which several files then share.
  set_target_properties(${name} PROPERTIES UNITY_BUILD ${HOLDFAST_UNITY} UNITY_BUILD_BATCH_SIZE 6)
  if(HOLDFAST_UNITY) # which takes the types of a file's own for those of a header
    target_compile_options(${name} PRIVATE -Wno-subobject-linkage)
  endif()
  target_link_libraries(${name} PUBLIC holdfast_options ${ARG_LIBS})
endfunction()

# holdfast_add_executable(NAME DESTINATION dir SOURCES file... [LIBS target...] [OUTPUT name])
# A thin main over a library; installed to DESTINATION.
function(holdfast_add_executable name)
  cmake_parse_arguments(ARG "" "DESTINATION;OUTPUT" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE holdfast_options ${ARG_LIBS})
  if(ARG_OUTPUT)
    set_target_properties(${name} PROPERTIES OUTPUT_NAME ${ARG_OUTPUT})
  endif()
  install(TARGETS ${name} RUNTIME DESTINATION ${ARG_DESTINATION})
  add_dependencies(product ${name})
endfunction()

# holdfast_add_test(COMPONENT STEM [LIBS target...])
# Builds tests/unit/COMPONENT/STEM_test.cc and registers its cases with CTest. The target
# COMPONENT_tests builds all of a component.
function(holdfast_add_test component stem)
  cmake_parse_arguments(ARG "" "" "LIBS" ${ARGN})
  string(REPLACE "-" "_" prefix ${component})
  set(name ${prefix}_${stem}_test)
  add_executable(${name} ${PROJECT_SOURCE_DIR}/tests/unit/${component}/${stem}_test.cc)
  target_link_libraries(${name} PRIVATE holdfast_options ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  # Compiled sooner rather than to be fast: half of a build's time is tests.
  target_compile_options(${name} PRIVATE -O0 -g1)
  if(NOT TARGET ${prefix}_tests)
    add_custom_target(${prefix}_tests)
  endif()
  add_dependencies(${prefix}_tests ${name})
  gtest_discover_tests(${name} TEST_PREFIX ${component}. PROPERTIES TIMEOUT 120 DISCOVERY_TIMEOUT 60)
  set_property(GLOBAL APPEND PROPERTY HOLDFAST_TEST_SOURCES
    ${PROJECT_SOURCE_DIR}/tests/unit/${component}/${stem}_test.cc)
endfunction()

# holdfast_add_bench(NAME LIBS library...): tests/bench/NAME_bench.cc, which prints figures; lab/bench
# runs it.
function(holdfast_add_bench name)
  cmake_parse_arguments(ARG "" "" "LIBS" ${ARGN})
  add_executable(${name}_bench ${PROJECT_SOURCE_DIR}/tests/bench/${name}_bench.cc)
  target_link_libraries(${name}_bench PRIVATE ${ARG_LIBS} CLI11::CLI11)
endfunction()
