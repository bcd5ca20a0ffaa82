# The packages, as .deb: cpack --config CPackConfig.cmake in the build tree makes them. What is in each
# says CMAKE_INSTALL_DEFAULT_COMPONENT_NAME where it is installed from. cmake/packages/holdfast.spec makes
# the same as .rpm.
#   client       the command, for everybody's machine; the others need it
#   plugin       Slurm's: machines on which people submit, and compute nodes
#   node         what a job's nodes run
#   coordinator  for one machine
#   examples     jobs to try it with

# A plugin is loaded only by the Slurm release it was built for, as far as its second number.
file(STRINGS ${SLURM_INCLUDE_DIR}/slurm/slurm_version.h slurm_version REGEX "define SLURM_VERSION_NUMBER")
string(REGEX MATCH "0x[0-9a-fA-F]+" slurm_version "${slurm_version}")
math(EXPR slurm_major "${slurm_version} >> 16")
math(EXPR slurm_minor "(${slurm_version} >> 8) & 255")
math(EXPR slurm_next "${slurm_minor} + 1")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME holdfast)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "Holdfast <holdfast@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_OUTPUT_FILE_PREFIX packages)
set(CPACK_COMPONENTS_ALL client plugin node coordinator examples)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
# The product is built for them, not the tests too.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)

# holdfast_package(COMPONENT SUMMARY DEPENDENCY...)
function(holdfast_package component summary)
  string(TOUPPER ${component} upper)
  list(JOIN ARGN ", " depends)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME holdfast-${component} PARENT_SCOPE)
  set(CPACK_COMPONENT_${upper}_DESCRIPTION "${summary}\n \
Jobs of a Slurm cluster that are preempted are saved with CRIU, and go on elsewhere." PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS "${depends}" PARENT_SCOPE)
  file(GLOB scripts ${PROJECT_SOURCE_DIR}/cmake/packages/${component}/*)
  set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_EXTRA "${scripts}" PARENT_SCOPE)
endfunction()

set(same "(>= ${PROJECT_VERSION})")
holdfast_package(client "Checkpoints of Slurm jobs: the command"
  munge "systemd | systemd-standalone-sysusers")
holdfast_package(plugin "Checkpoints of Slurm jobs: plugin for Slurm ${slurm_major}.${slurm_minor}"
  "slurm-wlm-basic-plugins (>= ${slurm_major}.${slurm_minor}~)" "slurm-wlm-basic-plugins (<< ${slurm_major}.${slurm_next}~)")
holdfast_package(node "Checkpoints of Slurm jobs: compute nodes"
  "holdfast-client ${same}" "holdfast-plugin ${same}" "criu (>= 4.2)" iproute2 slurmd)
holdfast_package(coordinator "Checkpoints of Slurm jobs: coordinator"
  "holdfast-client ${same}")
holdfast_package(examples "Checkpoints of Slurm jobs: examples")

include(CPack)
