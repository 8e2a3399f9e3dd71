//! What has to be installed: QEMU, and an RTEMS SDK with the board support packages (BSPs).

use crate::spec::Stack;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The program that boots images.
const QEMU: &str = "qemu-system-i386";

/// The C compiler below an SDK's prefix.
const COMPILER: &str = "bin/i386-rtems6-gcc";

/// The folder of BSPs below an SDK's prefix.
const BSPS: &str = "i386-rtems6";

/// What every installed BSP has.
const BSP_LIBRARY: &str = "lib/librtemsbsp.a";

/// The environment variable that names an SDK.
const PREFIX: &str = "RTEMS_PREFIX";

/// An installed RTEMS 6 SDK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sdk {
    /// The folder it was installed to.
    pub prefix: PathBuf,
    /// Its C compiler, which links images as well.
    pub compiler: PathBuf,
    bsps: [String; 3],
}

/// An installed board support package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bsp {
    /// As in `i386/NAME`.
    pub name: String,
    /// Its folder, with `lib` and `lib/include` in it.
    pub folder: PathBuf,
}

/// What is not installed, or not named. Says how to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// There is no QEMU on the PATH.
    Qemu,
    /// No SDK is named.
    Prefix,
    /// There is no SDK in this folder.
    Sdk(PathBuf),
    /// This SDK has no such BSP.
    Bsp {
        /// Its name.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
        /// What needs it.
        stack: Stack,
    },
}

impl Sdk {
    /// The SDK that `RTEMS_PREFIX` names.
    ///
    /// # Errors
    /// When it names none.
    pub fn find() -> Result<Self, Missing> {
        Self::find_with(|name| env::var_os(name))
    }

    /// The SDK that `variable` names in place of the environment.
    ///
    /// # Errors
    /// As [`Sdk::find`].
    pub fn find_with(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Missing> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let prefix = PathBuf::from(set(PREFIX).ok_or(Missing::Prefix)?);
        let compiler = prefix.join(COMPILER);
        if !is_program(&compiler) {
            return Err(Missing::Sdk(prefix));
        }
        let bsp = |stack: Stack| match set(bsp_variable(stack)) {
            Some(name) => name.to_string_lossy().into_owned(),
            None => stack.default_bsp().to_owned(),
        };
        Ok(Self {
            prefix,
            compiler,
            bsps: [Stack::Legacy, Stack::Libbsd, Stack::Own].map(bsp),
        })
    }

    /// The BSP for images with this stack: pc386, for libbsd pc686, unless `RTEMS_BSP_LEGACY`,
    /// `RTEMS_BSP_LIBBSD` or `RTEMS_BSP_OWN` name another.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn bsp(&self, stack: Stack) -> Result<Bsp, Missing> {
        let name = self.bsps[stack as usize].clone();
        let folder = self.prefix.join(BSPS).join(&name);
        if folder.join(BSP_LIBRARY).is_file() {
            Ok(Bsp { name, folder })
        } else {
            Err(Missing::Bsp {
                name,
                folder,
                stack,
            })
        }
    }
}

/// QEMU on the PATH.
///
/// # Errors
/// When it is not there.
pub fn find_qemu() -> Result<PathBuf, Missing> {
    find_qemu_in(env::var_os("PATH").as_deref())
}

fn find_qemu_in(path: Option<&OsStr>) -> Result<PathBuf, Missing> {
    env::split_paths(path.unwrap_or_default())
        // An empty entry is the current directory in some shells; a program is never taken from there.
        .filter(|folder| !folder.as_os_str().is_empty())
        .map(|folder| folder.join(QEMU))
        .find(|program| is_program(program))
        .ok_or(Missing::Qemu)
}

fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

const fn bsp_variable(stack: Stack) -> &'static str {
    match stack {
        Stack::Legacy => "RTEMS_BSP_LEGACY",
        Stack::Libbsd => "RTEMS_BSP_LIBBSD",
        Stack::Own => "RTEMS_BSP_OWN",
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MANUAL: &str = "see \"Quick Start\" in the RTEMS User Manual, \
                              https://docs.rtems.org/docs/6/user/start/index.html";
        match self {
            Self::Qemu => write!(
                f,
                "QEMU is missing: {QEMU} is not on the PATH; on Debian: apt-get install \
                 qemu-system-x86"
            ),
            Self::Prefix => write!(
                f,
                "the RTEMS SDK is missing: {PREFIX} is not set; set it to the folder that RTEMS 6 \
                 for i386 is installed in, or install it: {MANUAL}"
            ),
            Self::Sdk(prefix) => write!(
                f,
                "the RTEMS SDK is missing: {PREFIX} is {} but {COMPILER} is not there; correct it, \
                 or install RTEMS 6 for i386: {MANUAL}",
                prefix.display()
            ),
            Self::Bsp {
                name,
                folder,
                stack,
            } => write!(
                f,
                "the BSP i386/{name} is missing: {} has no {BSP_LIBRARY}; name another in {}, or \
                 build it: {MANUAL}",
                folder.display(),
                bsp_variable(*stack)
            ),
        }
    }
}

impl std::error::Error for Missing {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Place;
    use std::fs;

    fn write_program(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Finds with these variables in place of the environment.
    fn find(variables: &[(&str, &Path)]) -> Result<Sdk, Missing> {
        Sdk::find_with(|name| {
            let found = variables.iter().find(|(known, _)| *known == name)?;
            Some(found.1.as_os_str().to_owned())
        })
    }

    #[test]
    fn sdk_that_is_not_named_or_not_there_is_missing() {
        let place = Place::new().unwrap();
        assert_eq!(find(&[]), Err(Missing::Prefix));
        assert_eq!(find(&[(PREFIX, Path::new(""))]), Err(Missing::Prefix));
        let nowhere = Missing::Sdk(place.path().to_owned());
        assert_eq!(find(&[(PREFIX, place.path())]), Err(nowhere));
    }

    #[test]
    fn bsp_is_the_stack_s_own_or_the_one_named_for_it() {
        let place = Place::new().unwrap();
        write_program(&place.path().join(COMPILER));
        let sdk = find(&[(PREFIX, place.path())]).unwrap();
        let missing = sdk.bsp(Stack::Libbsd).unwrap_err();
        assert!(missing.to_string().contains("BSP i386/pc686 is missing"));

        let folder = place.path().join(BSPS).join("pc686");
        write_program(&folder.join(BSP_LIBRARY));
        assert_eq!(sdk.bsp(Stack::Libbsd).unwrap().folder, folder);
        assert!(sdk.bsp(Stack::Legacy).is_err(), "pc386 is not installed");

        let named = [
            (PREFIX, place.path()),
            ("RTEMS_BSP_LEGACY", Path::new("pc686")),
        ];
        let bsp = find(&named).unwrap().bsp(Stack::Legacy).unwrap();
        assert_eq!((bsp.name, bsp.folder), ("pc686".to_owned(), folder));
    }

    #[test]
    fn qemu_is_an_executable_file_on_the_path() {
        let place = Place::new().unwrap();
        let program = place.path().join(QEMU);
        let path = env::join_paths([Path::new(""), place.path()]).unwrap();
        assert_eq!(find_qemu_in(None), Err(Missing::Qemu));
        assert_eq!(find_qemu_in(Some(&path)), Err(Missing::Qemu));
        fs::write(&program, "").unwrap();
        assert_eq!(find_qemu_in(Some(&path)), Err(Missing::Qemu));
        write_program(&program);
        assert_eq!(find_qemu_in(Some(&path)), Ok(program));
    }

    #[test]
    fn what_is_missing_is_said_in_one_line_with_the_way_to_get_it() {
        let bsp = Missing::Bsp {
            name: "pc386".into(),
            folder: "sdk/i386-rtems6/pc386".into(),
            stack: Stack::Legacy,
        };
        let cases = [
            (Missing::Qemu, "apt-get install qemu-system-x86"),
            (Missing::Prefix, "RTEMS_PREFIX is not set"),
            (
                Missing::Sdk("sdk".into()),
                "bin/i386-rtems6-gcc is not there",
            ),
            (bsp, "RTEMS_BSP_LEGACY"),
        ];
        for (missing, expected) in cases {
            let text = missing.to_string();
            assert!(text.contains(expected) && !text.contains('\n'), "{text}");
            let told_where = missing == Missing::Qemu || text.contains("user/start/index.html");
            assert!(told_where, "{text}");
        }
    }
}
