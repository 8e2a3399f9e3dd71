# SPDX-License-Identifier: MIT
#
# Capuchin for applications that build with waf and rtems_waf. Copy this file beside your wscript;
# `targets/rtems/install PREFIX STACK` has put header and library below PREFIX.
#
#   import capuchin_waf
#   import rtems_waf.rtems as rtems
#
#   def init(ctx):
#       rtems.init(ctx, version='6')
#
#   def options(opt):
#       rtems.options(opt)
#       capuchin_waf.options(opt)
#
#   def configure(conf):
#       rtems.configure(conf, bsp_configure=capuchin_waf.configure)
#
#   def build(bld):
#       rtems.build(bld)
#       bld.program(features='c', target='app.exe', source='init.c', cflags='-O2', use='CAPUCHIN')
#
#   ./waf configure --rtems=SDK --rtems-bsps=i386/pc386 --capuchin-prefix=PREFIX
#
# Without --capuchin-prefix it is CAPUCHIN_PREFIX of the environment, or else the SDK. The stack is
# the one that the BSP has; --capuchin-stack chooses where it has both, or kqueue, or own, and bld.env.CAPUCHIN_STACK
# tells it. With libbsd something has to be optimised (-O2): its headers name drivers that it may
# lack, and only the optimiser drops them.

import os

# Stack: what its applications link besides, the first of which tells whether the BSP has it.
STACKS = {
    'legacy': ['networking'],
    'libbsd': ['bsd', 'm', 'z'],
    # libbsd, too; workers wait in its kqueue, not in a message queue.
    'kqueue': ['bsd', 'm', 'z'],
    # None of the system's: the library brings one.
    'own': [],
}


def options(opt):
    group = opt.add_option_group('Capuchin options')
    group.add_option('--capuchin-prefix',
                     default=os.environ.get('CAPUCHIN_PREFIX'),
                     dest='capuchin_prefix',
                     help='where Capuchin is installed [CAPUCHIN_PREFIX, or the SDK]')
    group.add_option('--capuchin-stack',
                     default=None,
                     choices=sorted(STACKS),
                     dest='capuchin_stack',
                     help='network stack of the application [the one that the BSP has]')


def configure(conf, arch_bsp=None):
    """For each BSP: hand it to rtems.configure() as bsp_configure, or call it from there."""
    prefix = os.path.abspath(conf.options.capuchin_prefix or conf.env.RTEMS_PATH)
    base = os.path.join(prefix, conf.env.RTEMS_ARCH_RTEMS)
    stack = conf.options.capuchin_stack or _stack_of(conf)
    library = os.path.join(base, 'lib', 'libcapuchin_%s.a' % stack)
    if not os.path.exists(library):
        conf.fatal('%s is missing: targets/rtems/install %s %s' % (library, prefix, stack))
    conf.env.CAPUCHIN_STACK = stack
    conf.env.INCLUDES_CAPUCHIN = [os.path.join(base, 'include')]
    conf.env.DEFINES_CAPUCHIN = ['CAPUCHIN_STACK_%s' % stack.replace('kqueue', 'libbsd').upper()]
    conf.env.STLIBPATH_CAPUCHIN = [os.path.join(base, 'lib')]
    conf.env.STLIB_CAPUCHIN = ['capuchin_' + stack] + STACKS[stack]
    conf.check_cc(fragment='#include <capuchin.h>\n'
                  'int main(void) { return capuchin_port(NULL); }\n',
                  features='c',
                  use='CAPUCHIN',
                  execute=False,
                  msg='Checking for Capuchin (%s)' % stack)


def _stack_of(conf):
    bsp = os.path.join(conf.env.RTEMS_PATH, conf.env.RTEMS_ARCH_RTEMS, conf.env.RTEMS_BSP, 'lib')
    found = [stack for stack in ('legacy', 'libbsd')
             if os.path.exists(os.path.join(bsp, 'lib%s.a' % STACKS[stack][0]))]
    if not found:
        conf.fatal('%s has no network stack: build rtems-net-legacy or rtems-libbsd for it, '
                   'or take --capuchin-stack=own' %
                   conf.env.RTEMS_ARCH_BSP)
    if len(found) > 1:
        conf.fatal('%s has both network stacks: say which by --capuchin-stack=%s' %
                   (conf.env.RTEMS_ARCH_BSP, '|'.join(found)))
    return found[0]
