# Adds llama-imatrix, llama.cpp's own tool for importance matrices, to the package llama-cpp-python: its source has the tool,
# but its build leaves it out. The build includes this file after its own lines: CMAKE_PROJECT_llama_cpp_INCLUDE.
cmake_language(DEFER CALL add_executable llama-imatrix vendor/llama.cpp/tools/imatrix/imatrix.cpp)
cmake_language(DEFER CALL target_link_libraries llama-imatrix PRIVATE llama-common llama)
cmake_language(DEFER CALL target_compile_features llama-imatrix PRIVATE cxx_std_17)
cmake_language(DEFER CALL llama_cpp_python_install_target llama-common)
cmake_language(DEFER CALL llama_cpp_python_install_target llama-imatrix)
