//! placeholder
use serde::Serialize;
use crate::store::meta::{Meta,StoreError};
use crate::store::blob::BlobStore;
#[derive(Debug,Clone)] pub struct Progress{pub stage:&'static str,pub done:u64,pub total:u64}
#[derive(Debug,Serialize)] pub struct Problem{pub kind:&'static str}
#[derive(Debug,Serialize)] pub struct Report{pub problems:Vec<Problem>}
pub fn check(_meta:&Meta,_blobs:&dyn BlobStore,_deep:bool,_p:&mut dyn FnMut(Progress))->Result<Report,StoreError>{ Ok(Report{problems:vec![]}) }
