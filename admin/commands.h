/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of sallyport(1). Each gets "sallyport" and its own name as argv[0] and returns the exit code.
 */
#ifndef SP_COMMANDS_H
#define SP_COMMANDS_H

#define EXIT_USAGE 2 /* the command line makes no sense; EXIT_FAILURE is for everything else */

int command_sessions(int argc, char **argv);
int command_kill(int argc, char **argv);
int command_status(int argc, char **argv);
int command_reload(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_policy(int argc, char **argv);

#endif
