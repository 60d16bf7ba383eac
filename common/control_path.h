/* SPDX-License-Identifier: Apache-2.0 */
/* Where the broker's control socket is when its configuration does not say: for the broker, and for who asks it. */
#ifndef SP_CONTROL_PATH_H
#define SP_CONTROL_PATH_H

#define SP_RUNTIME_DIR    "/run/sallyport" /* "runtime_dir" */
#define SP_CONTROL_NAME   "control.sock"   /* in that directory, without "control.socket" */
#define SP_CONTROL_SOCKET SP_RUNTIME_DIR "/" SP_CONTROL_NAME

#endif
