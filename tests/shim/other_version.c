// SPDX-License-Identifier: Apache-2.0
// What libweft of another version would say.
const char* weft_version(void) { return "0.0.0-other"; }
