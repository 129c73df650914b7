//! What holds across files: the architecture's rules, the build profile, the templates, the documents.
//!
//! One binary, so that it is linked once. It reads the repository's own files; nothing here runs the function.

#[cfg(test)]
mod architecture;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod profile;
#[cfg(test)]
mod properties_schema;
#[cfg(test)]
mod repository;
#[cfg(test)]
mod resource_reference;
#[cfg(test)]
mod role;
#[cfg(test)]
mod templates;
#[cfg(test)]
mod troubleshooting;
